//! What a text of a template may have in it, before the engine sees it.
//!
//! The engine counts the steps and the bytes of a text, but neither what a list takes that is made
//! out of lists, nor its own way down through operators. So what can make one grow is left out of
//! the language: keeping a value under a name, multiplying, loops in loops in loops.

/// Why a text is not taken, in words that go on after its place.
///
/// It reads no less as code than the engine does, and a little more: also a tag in quotes is one.
pub(super) fn refusal(text: &str) -> Option<String> {
    if text.len() > TEXT_MAX {
        return Some(format!("has more than {TEXT_MAX} bytes"));
    }
    let (mut loops, mut sums) = (0_usize, 0_usize);
    for (at, _) in text.match_indices('{') {
        let inner = &text[at + 1..];
        let (is_tag, code) = match inner.as_bytes().first() {
            Some(b'{') => (false, code(&inner[1..], b"}}")),
            Some(b'%') => (true, code(&inner[1..], b"%}")),
            _ => continue,
        };
        if is_tag {
            let tag = inner[1..].trim_start_matches(['-', '+']).trim_start();
            match tag.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default() {
                "for" => loops += 1,
                "endfor" => loops = loops.saturating_sub(1),
                tag if TAGS.contains(&tag) => {}
                tag => return Some(format!("has the tag `{tag}`; those here are `if` and `for`")),
            }
        }
        if code.contains('*') {
            return Some("multiplies; write what comes out".to_owned());
        }
        // Behind the names that a loop takes apart.
        let code = match code.split_once(" in ") {
            Some((names, code)) if is_tag && is_loop(names) => code,
            _ => &code,
        };
        if builds(code) {
            return Some(BUILDS.to_owned());
        }
        sums += code.matches('+').count();
        if sums > SUMS_MAX {
            return Some(format!("adds more than {SUMS_MAX} times; `~` joins texts"));
        }
        if loops > LOOPS_MAX {
            return Some(format!("has more than {LOOPS_MAX} loops in one another"));
        }
    }
    None
}

fn is_loop(names: &str) -> bool {
    names.trim_start_matches(['-', '+']).trim_start().starts_with("for ")
}

/// Whether code, without what is in quotes, makes a list or an object out of anything but texts and
/// numbers: out of lists, larger ones come.
fn builds(code: &str) -> bool {
    let mut open = Vec::new();
    let mut word = String::new();
    for char in code.chars() {
        let is_list = open.last() == Some(&Bracket::List);
        if char.is_alphanumeric() || char == '_' {
            if is_list && !char.is_numeric() {
                return true;
            }
            word.push(char);
            continue;
        }
        let follows = !word.is_empty() && !WORDS.contains(&word.as_str());
        match char {
            '(' if is_list => return true,
            '(' => open.push(if follows { Bracket::Call } else { Bracket::Group }),
            '[' if is_list => return true,
            '[' if follows => open.push(Bracket::Index),
            '[' => open.push(Bracket::List),
            ',' if !is_list && open.last() != Some(&Bracket::Call) => return true,
            '{' => return true,
            _ => {}
        }
        word.clear();
        if matches!(char, ')' | ']') {
            open.pop();
            // What stands there can be called, and has elements.
            word.push(char);
        }
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Call,
    Group,
    Index,
    List,
}

/// The code up to what ends it, outside of quotes and brackets, and without what is in quotes.
fn code(text: &str, end: &[u8; 2]) -> String {
    let (mut bare, mut quote, mut is_escaped, mut open) = (String::new(), None, false, 0_usize);
    for (at, char) in text.char_indices() {
        if let Some(mark) = quote {
            quote = (char != mark || is_escaped).then_some(mark);
            is_escaped = char == '\\' && !is_escaped;
            continue;
        }
        if open == 0 && text.as_bytes()[at..].starts_with(end) {
            break;
        }
        match char {
            '\'' | '"' => quote = Some(char),
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        bare.push(char);
    }
    bare
}

/// The longest text, in bytes.
const TEXT_MAX: usize = 8 * 1024;
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "raw", "endraw"];
/// With more in a row the engine would make the sum at once, however long it is.
const SUMS_MAX: usize = 8;
const LOOPS_MAX: usize = 3;
/// Words that a value follows, and not what is done with one.
const WORDS: [&str; 8] = ["in", "not", "and", "or", "if", "else", "elif", "is"];
const BUILDS: &str = "makes a list or an object of values; those here are of texts and numbers, \
    like `['IDLE', 'REFUSED']`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_grow_is_refused_and_what_people_write_is_not() {
        let fine = [
            "*{{ headline }}* + {{ about }}",
            "{{ loop.index + 1 }}{{ 'a * b' }}{{ \"it's 2 * 3\" }}",
            "{%- for fact in facts %}{{ fact.name }}{% if not loop.last %},{% endif %}{% endfor %}",
            "{ {%else%} }",
            "{{ 'it' ~ \"\\\"*\" }}",
            "{% if status in ['IDLE', \"it's\", 7, -1.5] %}{% endif %}",
            "{% for key, value in data|items %}{{ data[key][0]|replace('a', value) }}{% endfor %}",
            "{{ (a or b)|default('x', true) }}{{ range(1, 3)[1] }}{{ facts[:2]|join(', ') }}",
            "{{ a ~ b ~ c ~ d ~ e ~ f ~ g ~ h ~ i ~ j ~ k }}",
            "{{",
            "{%raw%}{% endraw %}",
        ];
        for text in fine {
            assert_eq!(refusal(text), None, "for {text}");
        }
        let check = |text: &str, expected: &str| {
            let found = refusal(text).unwrap_or_default();
            assert!(found.contains(expected), "for {text}: {found}");
        };
        check("{% set a = 1 %}", "the tag `set`");
        check("{%-set a = 1 %}", "the tag `set`");
        check("{%+\n with a = 1 %}", "the tag `with`");
        check("{{ '}}' }}{{ 2 ** 3 }}", "multiplies");
        check("{{ 'a\\\\' * 3 }}", "multiplies");
        check("{{ [1]*20000000 }}", "multiplies");
        check("{% if 1 * 1 %}", "multiplies");
        check("{{ {1: {}} * 3 }}", "multiplies");
        check("{% raw %}{{ ' {% endraw %}{{ 1 * 3 }}", "multiplies");
        check("{% raw %}{{ ( {% endraw %}{% set a = 1 %}", "makes a list");
        for made in [
            "[a]",
            "[[1]]",
            "[1, a]",
            "(a, a)",
            "a, a",
            "{'a': 1}",
            "f([a])",
            "a in[a]",
            "not [a]",
            "a[1, 2]",
            "[f(1)]",
            "a if [b] else c",
            "[1][0] in [a]",
        ] {
            check(&format!("{{{{ {made} }}}}"), "makes a list");
            check(&format!("{{% for x in {made} %}}"), "makes a list");
        }
        check(&"{% for a in b %}".repeat(4), "loops in one another");
        check(&format!("{{{{ 1{} }}}}", "+1".repeat(9)), "adds more than 8");
        check(&"x".repeat(TEXT_MAX + 1), "bytes");
    }
}
