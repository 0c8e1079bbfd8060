//! `status --check` evaluates the active config: a file that is damaged, truncated or not reloaded
//! adds a finding and hides none.

use super::*;

/// Damaged contents of a file with the expected finding; `None` for a removed file.
fn damages(good: &str) -> Vec<(&'static str, Option<Vec<u8>>, &'static str)> {
    let cut = |end: &str| Some(good.as_bytes()[..good.find(end).unwrap()].to_vec());
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let conflict = format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n");
    let open = good.replacen("id = \"a1\"", "id = \"a1", 1);
    assert_ne!(open, good);
    vec![
        ("conflict", Some(conflict.into_bytes()), "The config cannot be read: "),
        ("open string", Some(open.into_bytes()), "The config cannot be read: "),
        ("no channels", cut("[channels"), "The config was changed and not reloaded: "),
        ("empty", Some(Vec::new()), "The config cannot be read"),
        ("comments", Some(b"# to be written\n".to_vec()), "The config has "),
        ("old Mac", Some(good.replace('\n', "\r").into_bytes()), "The config cannot be read: "),
        ("UTF-16", Some(wide), "The config cannot be read: "),
        ("removed", None, "The config cannot be read: "),
    ]
}

fn damage(bench: &Bench, bytes: Option<&Vec<u8>>) {
    match bytes {
        Some(bytes) => fs::write(bench.config(), bytes).unwrap(),
        None => fs::remove_file(bench.config()).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_hides_nothing_and_is_a_finding() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    let good = fs::read_to_string(bench.config()).unwrap();
    for (name, bytes, finding) in damages(&good) {
        damage(&bench, bytes.as_ref());
        let (line, code) = check(&bench, &[]);
        assert!(line.contains(finding) && line.contains(" | avatars=1;;;0 "), "{name}: {line}");
        assert_eq!(code, 1, "{name}: {line}");
        let shown = bench.prints(&["status"], 0, &["a1", "This shows the active config"]);
        assert!(!shown.contains("not in the config"), "{name}: {shown}");
    }
    bench.configure(&good);
    assert_eq!(check(&bench, &[]).1, 0);
    assert!(daemon.stop().success());
}

/// The database is at a path that only the config contains.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_hides_neither_the_database_path_nor_a_condition() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url())
        .with("\n[store]\n# Not beside the config.\npath = \"elsewhere.db\" # here\n")
        .webhook("ops", &receiver.url())
        .avatar("a1");
    let bench = Bench::new(config.text());
    argil.require_key("another");
    let daemon = bench.start();
    daemon.wait_for_log("API refuses the key");
    wait_until("the condition", || check(&bench, &[]).1 == 2);
    let readable = ["conflict", "open string", "no channels", "old Mac", "UTF-16"];
    for (name, bytes, finding) in damages(config.text()) {
        damage(&bench, bytes.as_ref());
        let (line, code) = check(&bench, &[]);
        if readable.contains(&name) {
            assert!(
                line.starts_with("AVATAR-WATCH CRITICAL: Account argil cannot be checked: "),
                "{name}: {line}"
            );
            assert_eq!(code, 2, "{name}: {line}");
        } else {
            assert!(line.contains("there is no database at"), "{name}: {line}");
            assert_eq!(code, 3, "{name}: {line}");
            if name != "comments" {
                assert!(line.contains("set `--database`"), "{name}: {line}");
            }
        }
        let database = bench.config().with_file_name("elsewhere.db");
        let named = bench.run(&["status", "--check", "--database", database.to_str().unwrap()]);
        assert_eq!(named.status.code(), Some(2), "{name}: {named:?}");
        let line = stdout(&named);
        let begin =
            "AVATAR-WATCH CRITICAL: Account argil cannot be checked: Argil rejects its API key (";
        assert!(line.starts_with(begin) && line.contains(finding), "{name}: {line}");
    }
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreloaded_changes_are_shown_beside_the_active_config() {
    let (argil, _receiver, bench, daemon) = settled().await;
    argil.set_status("b1", "IDLE");
    let good = fs::read_to_string(bench.config()).unwrap();
    bench.configure(&format!("{good}\n[[avatars]]\nid = \"a2\"\n[[avatars]]\nid = \"a3\"\n"));
    let (line, code) = check(&bench, &[]);
    let expected = "WARNING: The config was changed and not reloaded: avatar `a2` added, and 1 \
                    more | avatars=1;;;0 ";
    assert!(line.contains(expected) && code == 1, "{line}");
    let changes = "A reload also changes:\n  avatar `a3` added\n";
    bench.prints(&["status"], 0, &["(not active until a reload)", changes]);
    let json = bench.json(&["status", "--json"]);
    assert_eq!(json["config_changes"].as_array().unwrap().len(), 2, "{json}");

    let gone = good.replace("id = \"a1\"", "id = \"b1\"");
    bench.configure(&gone);
    let json = bench.json(&["status", "--json"]);
    assert_eq!(
        (&json["avatars"][0]["id"], &json["avatars"][0]["configured"]),
        (&"a1".into(), &true.into())
    );
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("avatar `b1` added");
    wait_until("the new config", || check(&bench, &[]).1 == 0);
    bench.prints(&["status"], 0, &["(not in the config)"]);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_avatars_and_no_channels_are_findings() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).text());
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    let (line, code) = check(&bench, &[]);
    let expected =
        "WARNING: No avatar is watched; There are no channels, so no notifications are sent | ";
    assert!(line.contains(expected) && code == 1, "{line}");
    assert!(daemon.stop().success());
}
