use proptest::prelude::*;

use super::*;
use crate::notify::format::samples;

fn check(source: &str, expected: Value) {
    check_named("Jane, English", source, expected);
}

fn check_named(name: &str, source: &str, expected: Value) {
    let event = &samples::hostile(name)[0];
    let template = Template {
        tree: TemplateTree::Object(vec![("x".into(), TemplateTree::Text(source.into()))]),
        content_type: "application/json".to_owned(),
    };
    let body: Value =
        serde_json::from_slice(&template.render(event, &MessageContext::PLAIN).unwrap()).unwrap();
    assert_eq!(body["x"], expected, "for {source}");
}

fn refused(source: &str, expected: &str) {
    let tree = TemplateTree::List(vec![TemplateTree::Text(source.into())]);
    let template = Template { tree, content_type: String::new() };
    let errors = template.check(&samples::all());
    assert_eq!(errors.len(), 1, "for {source}: {errors:?}");
    assert_eq!(errors[0].path, "[0]");
    assert!(errors[0].message.contains(expected), "for {source}: {}", errors[0].message);
}

#[test]
fn an_expression_alone_is_the_value_itself() {
    check("{{ data.sequence }}", json!(42));
    check(" {{ data.training_observed }} ", json!(true));
    check("{{- data.sequence -}}", json!(42));
    check("{{ data.avatar.extras }}", json!({}));
    check("{{ none }}", Value::Null);
    check("{{ [1, 2.5, 'x'] }}", json!([1, 2.5, "x"]));
    check("{{ avatar_name }}", json!("Jane, English"));
}

#[test]
fn anything_else_is_a_text() {
    check("n. {{ data.sequence }}", json!("n. 42"));
    check("{{ data.sequence }} {{ status }}", json!("42 IDLE"));
    check("plain \"text\"", json!("plain \"text\""));
    check("{% if status == 'IDLE' %}yes{% endif %}", json!("yes"));
    check("", json!(""));
}

#[test]
fn a_template_that_cannot_be_rendered_fails_the_check() {
    refused("{{ data.nope }}", "undefined name");
    refused("x {{ data.nope }}", "undefined name");
    refused("{{ data.sequence", "syntax error");
    refused("{{ avatar_name | shout }}", "unknown filter");
    refused("{% for a in range(900) %}{% for b in range(900) %}{% endfor %}{% endfor %}", "fuel");
    let hundred = "x".repeat(100);
    refused(&format!("{{% for a in range(900) %}}{hundred}{{% endfor %}}"), "bytes");
    refused("{{ range(1001) }}", "over 1000 numbers");
    refused("{{ [1] * 20000000 }}", "multiplies");
    refused("{{ dict() }}", "no such function");
    refused("{% include 'x' %}", "");
}

#[test]
fn a_name_is_never_more_than_a_value() {
    for name in samples::NAMES {
        check_named(name, "{{ avatar_name }}", json!(name));
        check_named(name, "{{ data.avatar.name }}!", json!(format!("{name}!")));
    }
}

/// Renders on a thread with the default stack size.
fn render_apart(source: String) -> Result<(), TemplateError> {
    let work = move || {
        let event = &samples::hostile("Jane")[0];
        let tree = TemplateTree::Text(source);
        Template { tree, content_type: String::new() }
            .render(event, &MessageContext::PLAIN)
            .map(drop)
    };
    thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap().join().unwrap()
}

/// Every recursive construct of the grammar, as deep as the length of a text allows.
#[test]
fn no_depth_ends_the_process() {
    let shapes = [
        ("{{ ", "not ", "1 }}"),
        ("{{", "- ", "1 }}"),
        ("{{", "-", "1 }}"),
        ("{{ a", ".a", " }}"),
        ("{{ id", "[0]", " }}"),
        ("{{ 1", "-1", " }}"),
        ("{{ 1", "~1", " }}"),
        ("{{ 1", "<1", " }}"),
        ("{{ 1", "//1", " }}"),
        ("{{ id", "|e", " }}"),
        ("{{ 1", "|e(1", " }}"),
        ("{{ id", "()", " }}"),
        ("{{ a", "(a", " }}"),
        ("{{ a", "[a", " }}"),
        ("{{ 1", " is a", " }}"),
        ("{{ 1 is ", "a(1 is ", " }}"),
        ("{{ 1", " or 1", " }}"),
        ("{{ 1", " and 1", " }}"),
        ("{{ 1", " in 1", " }}"),
        ("{{ 1", " not in 1", " }}"),
        ("{{ 1", " if 1", " }}"),
        ("{{ ", "1 if 1 else ", "1 }}"),
        ("{{ ", "(", " }}"),
        ("{{ ", "[", " }}"),
        ("{{ ", "{1:", " }}"),
        ("", "{%if 1%}", ""),
        ("{%if 1%}", "{%elif 1%}", "{%endif%}"),
    ];
    for (begin, piece, end) in shapes {
        let pieces = (8 * 1024 - begin.len() - end.len()) / piece.len();
        let _ = render_apart(format!("{begin}{}{end}", piece.repeat(pieces)));
    }
}

proptest! {
    /// Random combinations of the tokens of the language.
    #[test]
    fn no_text_ends_the_process(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..60),
    ) {
        let _ = render_apart(pieces.concat());
    }
}

const PIECES: [&str; 60] = [
    "{{ ",
    " }}",
    "{% if ",
    "{% for a in ",
    " %}",
    "{% endfor %}",
    "{% endif %}",
    "{% else %}",
    "a",
    "fields",
    "data",
    "id",
    "[a, a]",
    "['x']",
    "{'a': a}",
    "range(999)",
    "range(9)",
    "loop",
    "'x'",
    "'%9999999s'",
    "'%09999999d'",
    "1",
    "99999999",
    "-",
    "+",
    "~",
    " // ",
    " and ",
    " not ",
    " in ",
    " is defined",
    " == ",
    "(",
    ")",
    "[",
    "]",
    "[1:]",
    "[::-1]",
    ".index",
    ".data",
    ", ",
    "|upper",
    "|replace('x', id)",
    "|replace('', 'xx')",
    "|indent(9999999)",
    "|join(id)",
    "|format(1)",
    "|string",
    "|list",
    "|tojson",
    "|sort",
    "|map('upper')",
    "|unique",
    "|length",
    "|wordwrap(1)",
    "|center(9999999)",
    "|reverse",
    "|dictsort",
    "|groupby('a')",
    "|pprint",
];

#[test]
fn many_texts_together_cannot_take_too_long() {
    let text = "{% for a in range(240) %}{% for b in range(60) %}{% endfor %}{% endfor %}";
    let tree = |count| {
        let texts = (0..count).map(|_| TemplateTree::Text(text.to_owned())).collect();
        Template { tree: TemplateTree::List(texts), content_type: String::new() }
    };
    assert!(tree(9).check(&samples::all()).is_empty());
    assert!(tree(990).check(&samples::all())[0].message.contains("fuel"));
}

#[test]
fn many_texts_together_cannot_make_too_much() {
    let text = || TemplateTree::Text("x".repeat(8000));
    let tree = TemplateTree::List((0..9).map(|_| text()).collect());
    let template = Template { tree, content_type: String::new() };
    let errors = template.check(&samples::all());
    assert_eq!(errors[0].message, "makes a body of more than 65536 bytes");
}
