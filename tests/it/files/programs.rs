//! The programs that are started: nobody else can have written them.

use super::*;

#[test]
fn a_program_that_others_can_write_is_named_and_never_run() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new("");
    let program = bench.path("program");
    let ran = bench.path("ran");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\necho pass\n", ran.display())).unwrap();
    let mail = "type = \"email\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    let config = Config::new(argil.base_url()).avatar("a1").with(&format!(
        "\n[channels.drafts]\n{mail}sendmail = {{ command = [\"{}\"] }}\n",
        program.display()
    ));
    bench.configure(config.text());
    let set = |mode| fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    set(0o755);
    assert!(bench.run(&["test", "drafts"]).status.success());
    fs::remove_file(&ran).unwrap();
    set(0o757);
    let refused = bench.run(&["check"]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("can be written by everybody (its mode is 0757)"), "{said}");
    assert!(said.contains(&format!("help: `chmod go-w {}`", program.display())), "{said}");
    // It was good when the daemon started, and is not any more.
    set(0o755);
    let daemon = bench.start();
    daemon.wait_for_log("seen first: TRAINING");
    set(0o757);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("cannot be run: can be written by everybody (its mode is 0757); `chmod");
    assert!(!ran.exists());
    set(0o755);
    assert!(bench.run(&["channels", "enable", "drafts"]).status.code().is_some());
    assert!(daemon.stop().success());
}
