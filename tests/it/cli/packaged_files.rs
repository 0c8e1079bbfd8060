//! What packages carry besides the program: manual pages and completions, as it prints them.

use std::fs;

use crate::harness::daemon::{Bench, stdout};

/// The commands that `--help` names, as everyone sees them.
fn commands(bench: &Bench) -> Vec<String> {
    let help = stdout(&bench.run(&["--help"]));
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let word = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let names: Vec<String> =
        listed.lines().filter(|line| line.starts_with("  ")).map(word).collect();
    assert!(names.len() > 10 && names.contains(&"run".to_owned()), "{names:?}");
    names
}

#[test]
fn every_command_has_a_page_with_its_help() {
    let bench = Bench::new("");
    let folder = bench.path("pages");
    bench.prints(&["man", "--out", folder.to_str().unwrap()], 0, &[]);
    for command in commands(&bench).iter().filter(|name| *name != "help") {
        let page = fs::read_to_string(folder.join(format!("avatar-watch-{command}.8"))).unwrap();
        assert!(page.contains(".TH avatar-watch") && page.contains(".SH NAME"), "{command}");
        assert_eq!(page, stdout(&bench.run(&["man", &format!("avatar-watch-{command}")])));
    }
    let run = fs::read_to_string(folder.join("avatar-watch-run.8")).unwrap();
    assert!(run.contains("75 database locked by another instance"), "{run}");
    assert!(run.contains("avatar-watch") && run.contains("SEE ALSO"));
    let main = stdout(&bench.run(&["man"]));
    assert!(main.contains("avatar\\-watch\\-run(8)"), "{main}");
    assert_eq!(fs::read_to_string(folder.join("avatar-watch.8")).unwrap(), main);
    let names = stdout(&bench.run(&["man", "--list"]));
    assert_eq!(names.lines().count(), fs::read_dir(&folder).unwrap().count());
}

#[test]
fn the_config_page_contains_the_example() {
    let bench = Bench::new("");
    let page = stdout(&bench.run(&["man", "avatar-watch.toml"])).replace("\\-", "-");
    let example = include_str!("../../../config.example.toml");
    let keys = example.lines().filter(|line| line.contains(" = ") && !line.contains(['\'', '\\']));
    assert!(keys.clone().count() > 50);
    for line in keys {
        assert!(page.contains(line), "{line}");
    }
}

#[test]
fn an_unknown_page_is_a_usage_error_with_help() {
    let bench = Bench::new("");
    bench.complains(&["man", "unknown"], 2, &["help: `avatar-watch man --list` lists all"]);
}

#[test]
fn every_shell_completes_every_command() {
    let bench = Bench::new("");
    let commands = commands(&bench);
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&bench.run(&["completions", shell]));
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
}
