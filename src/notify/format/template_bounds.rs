//! Checks a text of a template before the engine compiles it.
//!
//! The engine bounds the steps and the bytes of a text, but neither the memory of lists built out
//! of lists nor its own recursion through operators. So the language lacks what makes values grow:
//! assignment, multiplication and deeply nested loops.

/// Why a text is refused, as a phrase that goes on after its path.
///
/// It treats everything as code that the engine treats as code, and also a tag inside of quotes.
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
                tag => {
                    return Some(format!("has the tag `{tag}`; only `if` and `for` are supported"));
                }
            }
        }
        if code.contains('*') {
            return Some("multiplies; write the result instead".to_owned());
        }
        // A loop may unpack several names: check the code after them.
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
            return Some(format!("has more than {LOOPS_MAX} nested loops"));
        }
    }
    None
}

fn is_loop(names: &str) -> bool {
    names.trim_start_matches(['-', '+']).trim_start().starts_with("for ")
}

/// Whether code, without its quoted texts, builds a list or an object of anything but texts and
/// numbers: lists of lists can grow without bounds.
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
            // The value before a bracket can be called or indexed.
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

/// The code up to its end mark outside of quotes and brackets, without its quoted texts.
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
/// The engine folds a longer sum of constants at compile time, without counting steps.
const SUMS_MAX: usize = 8;
const LOOPS_MAX: usize = 3;
/// Words that are followed by a value.
const WORDS: [&str; 8] = ["in", "not", "and", "or", "if", "else", "elif", "is"];
const BUILDS: &str = "makes a list or an object of values; only lists of texts and numbers are \
    supported, such as `['IDLE', 'REFUSED']`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_can_grow_is_refused() {
        let fine = [
            "*{{ title }}* + {{ subject }}",
            "{{ loop.index + 1 }}{{ 'a * b' }}{{ \"it's 2 * 3\" }}",
            "{%- for it in fields %}{{ it.name }}{% if not loop.last %},{% endif %}{% endfor %}",
            "{ {%else%} }",
            "{{ 'it' ~ \"\\\"*\" }}",
            "{% if status in ['IDLE', \"it's\", 7, -1.5] %}{% endif %}",
            "{% for key, value in data|items %}{{ data[key][0]|replace('a', value) }}{% endfor %}",
            "{{ (a or b)|default('x', true) }}{{ range(1, 3)[1] }}{{ fields[:2]|join(', ') }}",
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
        check(&"{% for a in b %}".repeat(4), "nested loops");
        check(&format!("{{{{ 1{} }}}}", "+1".repeat(9)), "adds more than 8");
        check(&"x".repeat(TEXT_MAX + 1), "bytes");
    }
}
