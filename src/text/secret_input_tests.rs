use proptest::prelude::*;

use super::*;

const KINDS: [SecretKind; 4] =
    [SecretKind::Key, SecretKind::Header, SecretKind::Password, SecretKind::Url];

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, kinds: &[SecretKind], expected: Result<&str, &str>) {
    for kind in kinds {
        let found = clean(bytes.as_ref(), *kind).map_err(|fault| fault.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "as {kind:?}");
    }
}

#[test]
fn line_ends_and_a_mark_are_taken_off_and_nothing_else() {
    for end in ["", "\n", "\r\n", "\n\n", "\r", "\r\n\r\n"] {
        for mark in ["", "\u{feff}"] {
            check(format!("{mark}CANARY{end}"), &KINDS, Ok("CANARY"));
        }
    }
    check("two words\n", &[SecretKind::Header, SecretKind::Password], Ok("two words"));
    check("pässword“x”", &[SecretKind::Password], Ok("pässword“x”"));
    check("https://bücher.example/é", &[SecretKind::Url], Ok("https://bücher.example/é"));
    let quoted = [SecretKind::Header, SecretKind::Password];
    check("\"CANARY\"", &quoted, Ok("\"CANARY\""));
    assert!(is_quoted("\"CANARY\"") && !is_quoted("\"") && !is_quoted("\"CANARY'"));
}

#[test]
fn lines_are_refused_and_never_joined() {
    for text in [
        "https://h/hook\nsecond",
        "https://h/hook\r\nsecond",
        "https://h/hook\rsecond",
        "\nCANARY",
        "CANARY\u{2028}",
        "CANARY\u{2028}second",
        "CANARY\u{2029}second",
        "CANARY\u{85}second",
        "CANARY\n ",
        "CANARY\n\u{feff}",
    ] {
        check(text, &KINDS, Err("has more than one line"));
    }
}

#[test]
fn what_cannot_be_there_is_refused_by_its_name() {
    let inside = |char: char, name: &str| {
        let expected = format!("has {name} in it, as character 4");
        check(format!("CAN{char}ARY"), &KINDS, Err(&expected));
        check(format!("CANARY{char}"), &KINDS, Err(&format!("ends with {name}")));
        check(format!("{char}CANARY"), &KINDS, Err(&format!("begins with {name}")));
    };
    inside('\0', "NUL (U+0000)");
    inside('\t', "a tab");
    inside('\u{c}', "a form feed (U+000C)");
    inside('\u{b}', "a vertical tab (U+000B)");
    inside('\u{1b}', "an escape (U+001B)");
    inside('\u{7f}', "a control character (U+007F)");
    inside('\u{a0}', "a no-break space (U+00A0)");
    inside('\u{ad}', "a soft hyphen (U+00AD)");
    inside('\u{200b}', "a zero-width space (U+200B)");
    inside('\u{202e}', "an invisible mark of direction (U+202E)");
    inside('\u{3000}', "a wide space (U+3000)");
    inside('\u{fffd}', "a replacement character (U+FFFD)");
    check("CAN\u{feff}ARY", &KINDS, Err("has a byte order mark (U+FEFF) in it, as character 4"));
    check("\u{feff}\u{feff}CANARY", &KINDS, Err("begins with a byte order mark (U+FEFF)"));
    check(" CANARY", &KINDS, Err("begins with a blank"));
    check("CANARY \n", &KINDS, Err("ends with a blank"));
    let words = [SecretKind::Key, SecretKind::Url];
    check("CAN ARY", &words, Err("has a blank in it, as character 4"));
    for quoted in ["\"CANARY\"\n", "'CANARY'", "“CANARY”", "`CANARY`", "„CANARY“"] {
        check(quoted, &words, Err("stands in quotes, which are taken for a part of it"));
    }
    check(
        "CANARY\\n",
        &words,
        Err("ends with a `\\n` that is written out, as a backslash and a letter"),
    );
    let ascii = [SecretKind::Key, SecretKind::Header];
    check("CANÄRY", &ascii, Err("has a character beyond ASCII in it, as character 4"));
    check("ＣANARY", &ascii, Err("has a character beyond ASCII in it, as character 1"));
    check("", &KINDS, Err("is empty"));
    check("\u{feff}\r\n", &KINDS, Err("is empty"));
    check("x".repeat(8 * 1024 + 1), &KINDS, Err("has more than 8192 bytes"));
    check(b"CANARY\xff", &KINDS, Err("is not UTF-8"));
    check(b"\xff\xfeC\0A\0", &KINDS, Err("is in UTF-16, not in UTF-8"));
    check(b"C\0A\0N\0", &KINDS, Err("is in UTF-16, not in UTF-8"));
    check(b"\0\0\0C\0\0\0A", &KINDS, Err("is in UTF-32, not in UTF-8"));
}

/// Bytes as they are, and texts made of what is likely to go wrong.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "key",
        "\n",
        "\r",
        "\u{feff}",
        " ",
        "\t",
        "\0",
        "\u{a0}",
        "\u{2028}",
        "\u{200b}",
        "\"",
        "é",
        "\\n",
        "https://h/",
    ]);
    let joined = prop::collection::vec(pieces, 0..8).prop_map(|it| it.concat().into_bytes());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), joined]
}

proptest! {
    #[test]
    fn whatever_comes_in_one_harmless_line_comes_out_or_nothing(
        bytes in anything(),
        kind in prop::sample::select(KINDS.to_vec()),
    ) {
        match clean(&bytes, kind) {
            Ok(text) => {
                // It stands there as it was, in one piece: nothing was joined, nothing changed.
                let given = str::from_utf8(&bytes).unwrap();
                let given = given.strip_prefix('\u{feff}').unwrap_or(given);
                prop_assert!(given.starts_with(text));
                prop_assert!(given[text.len()..].chars().all(|char| "\r\n".contains(char)));
                prop_assert!(!text.is_empty() && text.trim() == text);
                prop_assert!(!text.chars().any(char::is_control));
                let url = url::Url::parse(text);
                if let (SecretKind::Url, Ok(url)) = (kind, url) {
                    // The parser had nothing to drop or to join.
                    prop_assert!(!url.as_str().contains("%20"), "{}", url);
                }
            }
            Err(fault) => {
                // The error does not repeat it: there is a fixed set of errors.
                let said = format!("{fault} {}", fault.help());
                prop_assert!(!said.contains("key") && !said.contains("https"), "{}", said);
                prop_assert!(!said.chars().any(char::is_control));
            }
        }
    }
}
