//! Each way that mails go, by the commands: what works is said, and what fails is named by its
//! step.

use std::fs;

use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stdout};
use crate::harness::smtp::{Mailbox, Security, Step, Upset};

fn channel(name: &str, way: &str) -> String {
    format!(
        "\n[channels.{name}]\ntype = \"email\"\nfrom = \"watch@example.com\"\n\
         to = [\"studio@example.com\"]\n{way}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_is_probed_and_the_failed_step_is_named() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").text());
    let config = {
        let port = mailbox.port();
        let smtp = format!("host = \"localhost\", port = {port}, tls = \"none\"");
        let token = "auth = \"xoauth2\", username = \"u\", token_command = [\"/bin/false\"]";
        Config::new("http://127.0.0.1:9/v1")
            .with(&channel("server", &format!("smtp = {{ {smtp} }}")))
            .with(&channel("token", &format!("smtp = {{ {smtp}, {token} }}")))
            .with(&channel("program", "sendmail = { command = [\"/bin/true\"] }"))
            .with(&channel("absent", "sendmail = { command = [\"/no/such/program\"] }"))
            .with(&channel("folder", "file = { folder = \"mails\" }"))
            .with(&channel("nowhere", "file = { folder = \"no-such-folder\" }"))
            .text()
            .to_owned()
    };
    bench.configure(&config);
    let mails = bench.database().parent().unwrap().join("mails");
    fs::create_dir(&mails).unwrap();
    let expected = [
        ("server", Ok(())),
        ("token", Err("token")),
        ("program", Ok(())),
        ("absent", Err("sendmail")),
        ("folder", Ok(())),
        ("nowhere", Err("file")),
    ];
    let online = stdout(&bench.run(&["check", "--online"]));
    for (name, end) in expected {
        let line = match end {
            Ok(()) => format!("ok   channel `{name}`"),
            Err(step) => format!("FAIL channel `{name}`: failed at `{step}`"),
        };
        assert!(online.contains(&line), "`{line}` is not in {online}");
        let trial = bench.run(&["test", name]);
        let said = stdout(&trial);
        assert_eq!(trial.status.code(), Some(i32::from(end.is_err())), "{name}: {said}");
        if let Err(step) = end {
            assert!(said.contains(&format!("at `{step}`: ")), "{name}: {said}");
        }
    }
    let sent = mailbox.wait_for(1).await;
    assert_eq!(sent.len(), 1, "a check sends nothing, and a trial one mail");
    assert_eq!(sent[0].from, "watch@example.com", "bounces go to the sender");
    assert_eq!(fs::read_dir(mails).unwrap().count(), 2, "a mail, and its envelope");

    mailbox.script([vec![(Step::Mail, Upset::Reply("553 5.7.1 not yours"))]]);
    let refused = stdout(&bench.run(&["test", "server"]));
    assert!(refused.contains("at `mail` (553)"), "{refused}");
}
