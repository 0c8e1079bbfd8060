//! The main job, on the real program: a signed webhook and a mail for each of the three
//! outcomes, and for nothing else.

use crate::harness::argil::FakeArgil;
use crate::harness::config::with_receiver;
use crate::harness::config::{AT_ONCE, Config, SECRET};
use crate::harness::daemon::Bench;
use crate::harness::smtp::{Mailbox, Security};
use crate::harness::webhook::Receiver;

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_is_sent_by_webhook_and_mail() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let config = Config::new(argil.base_url())
        .webhook("ops", &receiver.url())
        .mail("studio", mailbox.port());
    let ids = ["good", "failed", "refused", "born", "odd", "still", "gone"];
    let config = ids.iter().fold(config, |config, id| config.avatar(id));
    let bench = Bench::new(config.text());
    for id in ["good", "failed", "refused", "still", "odd"] {
        argil.set_status(id, "TRAINING");
    }
    argil.set_status("born", "NOT_TRAINED");
    let daemon = bench.start();
    for id in ["good", "failed", "refused", "born", "odd", "still"] {
        daemon.wait_for_log(&format!("avatar \"avatar {id}\": baseline"));
    }
    daemon.wait_for_log("polling avatar `gone` failed");
    argil.set_status("born", "TRAINING");
    argil.set_status("odd", "CONTENT_MODERATED");
    daemon.wait_for_log("avatar \"avatar born\": NOT_TRAINED -> TRAINING");
    daemon.wait_for_log("avatar \"avatar odd\": TRAINING -> \"CONTENT_MODERATED\"");
    argil.set_status("good", "IDLE");
    argil.set_status("failed", "TRAINING_FAILED");
    argil.set_status("refused", "REFUSED");

    let received = receiver.wait_for(3).await;
    let mails = mailbox.wait_for(3).await;
    let rows = bench.wait_for_deliveries("six deliveries", |rows| {
        rows.len() == 6 && rows.iter().all(|row| row["state"] == "delivered")
    });
    assert!(daemon.stop().success());
    assert_eq!((receiver.received().len(), mailbox.mails().len(), rows.len()), (3, 3, 6));

    let mut sent: Vec<(String, String)> = received
        .iter()
        .map(|request| {
            request.verify(SECRET).unwrap();
            let body = request.json();
            assert_eq!(body["data"]["previous_status"], "TRAINING");
            assert_eq!(body["data"]["training_observed"], true);
            let text = |pointer: &str| body.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            (text("/data/avatar/id"), text("/type"))
        })
        .collect();
    sent.sort();
    let expected = [
        ("failed", "avatar.training_failed"),
        ("good", "avatar.ready"),
        ("refused", "avatar.refused"),
    ];
    assert_eq!(sent, expected.map(|(id, kind)| (id.to_owned(), kind.to_owned())));
    for (id, kind) in sent {
        let about = |mail: &&crate::harness::smtp::Mail| {
            let text = String::from_utf8_lossy(&mail.data);
            text.contains(&format!("X-Avatar-Watch-Type: {kind}")) && text.contains(&id)
        };
        assert_eq!(mails.iter().filter(about).count(), 1, "mails about `{id}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_between_two_polls_is_inferred_unless_disabled() {
    let (argil, receiver, config) = with_receiver().await;
    let strict = Config::from(
        config.text().replace(AT_ONCE, &format!("{AT_ONCE}infer_unseen_training = false\n")),
    );

    let bench = Bench::new(strict.text());
    argil.set_status("a1", "NOT_TRAINED");
    let daemon = bench.start();
    daemon.wait_for_log("baseline NOT_TRAINED");
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("NOT_TRAINED -> IDLE");
    assert!(daemon.stop().success());
    assert!(bench.deliveries().is_empty());

    let bench = Bench::new(config.text());
    argil.set_status("a1", "NOT_TRAINED");
    let daemon = bench.start();
    daemon.wait_for_log("baseline NOT_TRAINED");
    argil.set_status("a1", "IDLE");
    let received = receiver.wait_for(1).await;
    let body = received[0].json();
    assert_eq!(body["data"]["training_observed"], false);
    assert_eq!(body["data"]["previous_status"], "NOT_TRAINED");
    assert!(daemon.stop().success());
}
