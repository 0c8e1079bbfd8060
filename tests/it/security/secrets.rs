//! All kinds of secrets, with every format, transport and outcome: none is in the log at level
//! `trace`, in the database, on the page, or in the output of a command.
//!
//! Each secret starts and ends with a marker, so that a part of it is found as well, and contains
//! characters that servers and programs encode in different ways.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::harness::argil::{Answer as ApiAnswer, FakeArgil};
use crate::harness::daemon::{Bench, files_with, stderr, stdout};
use crate::harness::http::ask;
use crate::harness::proxy::{Manner, Proxy};
use crate::harness::smtp::{Mailbox, Security, Step, Upset};
use crate::harness::tls::{Identity, TlsServer};
use crate::harness::webhook::{Answer, Received, Receiver};

/// The markers at the start and the end of each secret.
const MARKS: [&str; 2] = ["C4N4RY", "T41L"];
/// The limit of a response body.
const READ_OF_AN_ANSWER: usize = 4096;
const KEY: &str = "C4N4RY/key+\"&T41L";
const HINT: &str = "C4N4RY-hint-token_T41L";
const PAGE: &str = "C4N4RY-page-token_T41L";
const PASSWORD: &str = "C4N4RY/pass\"&<word>T41L";
const TOKEN: &str = "C4N4RY/to+ken=T41L";
const WAITS: &str = r#"["0s", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms"]"#;
const FORMATS: [&str; 7] =
    ["standard", "cloudevents", "slack", "discord", "teams", "ntfy", "template"];

/// The responses of a webhook before it accepts the message.
fn responses(format: &str) -> Vec<Answer> {
    let mut ordeals = vec![
        Answer::Echo(500, repeated),
        Answer::Echo(500, cut_off),
        Answer::redirect(307, "/C4N4RY-elsewhere-T41L"),
        Answer::Reset,
        Answer::Stall,
        Answer::Echo(200, repeated),
    ];
    // Chat messages are not repeated after a malformed response.
    if !["slack", "discord", "teams", "ntfy"].contains(&format) {
        ordeals.insert(4, Answer::Garbage);
    }
    ordeals
}

/// The secrets of a request.
fn secrets(request: &Received) -> Vec<String> {
    let secret = |(name, _): &&(String, String)| {
        ["x-team", "x-login", "authorization"].contains(&name.as_str())
    };
    let values = request.headers.iter().filter(secret).map(|(_, value)| value.clone());
    let topic = serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
    let topic = topic["topic"].as_str().map(str::to_owned);
    std::iter::once(request.path.clone()).chain(values).chain(topic).collect()
}

/// A response that repeats the secrets: as they are, in JSON, in a URL, in HTML, in base64.
fn repeated(request: &Received) -> String {
    let ways = secrets(request).into_iter().flat_map(|text| {
        let json = Value::from(text.as_str()).to_string();
        let url = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
        let html = text.replace('&', "&amp;").replace('"', "&quot;");
        let bare = text.rsplit(' ').next().unwrap();
        [json.replace('/', "\\/"), json, url, html, STANDARD.encode(bare), text]
    });
    ways.collect::<Vec<_>>().join("\n")
}

/// A response that is truncated within the secret of the path.
fn cut_off(request: &Received) -> String {
    let text = secrets(request).join(" ");
    let cut_at = text.find(MARKS[1]).unwrap() + 2;
    " ".repeat(READ_OF_AN_ANSWER - cut_at) + &text
}

/// A signing secret with the markers in its bytes.
fn signing_secret() -> String {
    format!("whsec_{}", STANDARD.encode("C4N4RY-signing-secret-of-32-T41L"))
}

fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "\n[channels.{name}]\ntype = 'webhook'\nurl = '{url}'\nsecret = '{}'\ntimeout = '300ms'\n\
         retry_schedule = {WAITS}\n{more}\n",
        signing_secret()
    )
}

fn mail(name: &str, way: &str) -> String {
    format!(
        "\n[channels.{name}]\ntype = 'email'\nfrom = 'watch@example.com'\n\
         to = ['studio@example.com']\nretry_schedule = {WAITS}\n{way}\n"
    )
}

/// All servers, and the config with their addresses.
struct World {
    argil: FakeArgil,
    receivers: Vec<Receiver>,
    proxies: [Proxy; 2],
    _mailboxes: [Mailbox; 3],
    _tls: TlsServer,
    bench: Bench,
}

impl World {
    async fn new() -> Self {
        let argil = FakeArgil::start();
        let proxies = [Proxy::start(Manner::Pass).await, Proxy::start(Manner::Refuse(407)).await];
        let mut receivers = Vec::new();
        let mut config = format!(
            "[argil]\napi_key = '{KEY}'\nbase_url = \"{}\"\ntimeout = '2s'\n\
             [poll]\ntraining = {{ min = '20ms', max = '20ms' }}\nsettled = '20ms'\n\
             backoff = {{ initial = '20ms', max = '20ms', multiplier = 1.0, jitter = 0.0 }}\n\
             [web]\nlisten = '127.0.0.1:0'\nhint_token = '{HINT}'\ntoken = '{PAGE}'\n\
             [[avatars]]\nid = 'a1'\n",
            argil.base_url()
        );
        for (number, format) in FORMATS.into_iter().enumerate() {
            let receiver = Receiver::start().await;
            receiver.script(responses(format));
            let address = receiver.url().replace("http://", "").replace("/hook", "");
            let url = match format {
                "ntfy" => format!("http://{address}/C4N4RY-topic-T41L"),
                _ => format!(
                    "http://u:C4N4RY%2Fin%22it%26T41L@{address}/h/C4N4RY%2Furl-T41L\
                     ?sig=C4N4RY%2F+T41L"
                ),
            };
            let template = if format == "template" {
                "template = { a = \"{{ title }}\", t = \"{{ type }}\" }\n"
            } else {
                ""
            };
            // ntfy takes credentials in a header, the others in the URL.
            let login = if format == "ntfy" { "authorization" } else { "x-login" };
            let headers = format!(
                "format = '{format}'\n{template}headers = {{ x-team = 'C4N4RY/te\"am&T41L', \
                 {login} = 'Bearer C4N4RY/log\"in&T41L' }}\n"
            );
            let proxied = format!("proxy = '{}'\n", proxies[0].url("u:C4N4RY%2Fpr%22oxyT41L@"));
            let proxy = if number % 2 == 0 { "" } else { proxied.as_str() };
            config += &webhook(format, &url, &(headers + proxy));
            receivers.push(receiver);
        }
        let tls = TlsServer::start(&Identity::self_signed("127.0.0.1", 4000), "").await;
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at_home = format!("{}/C4N4RY-url-T41L", tls.base_url());
        config += &webhook("distrusted", &at_home, "");
        config += &webhook("refusing", &format!("http://{closed}/C4N4RY-url-T41L"), "");
        config += &webhook("nameless", "http://no.such.host.invalid/C4N4RY-url-T41L", "");
        let refused = proxies[1].url("C4N4RY-user-T41L:C4N4RY%2Fpr%22oxyT41L@");
        config += &webhook("unproxied", &at_home, &format!("proxy = '{refused}'\n"));
        let unproxied = format!("http://{closed}/C4N4RY-url-T41L");
        config += &webhook("unproxied-http", &unproxied, &format!("proxy = '{refused}'\n"));
        let bench = Bench::new(&config);
        let (mails, mailboxes) = mail_channels(&bench).await;
        bench.configure(&(config + &mails));
        Self { argil, receivers, proxies, _mailboxes: mailboxes, _tls: tls, bench }
    }
}

/// The mail channels: each transport, and its failures.
async fn mail_channels(bench: &Bench) -> (String, [Mailbox; 3]) {
    let encoded = |text: &str| STANDARD.encode(text);
    let plain = encoded(&format!("\0watch\0{PASSWORD}"));
    let bearer = encoded(&format!("user=watch\x01auth=Bearer {TOKEN}\x01\x01"));
    let said = |text: String| Upset::Reply(Box::leak(text.into_boxed_str()));
    let good = Mailbox::start(Security::Plain, Some(("watch", PASSWORD))).await;
    good.script([
        vec![(Step::Auth, said(format!("454 4.3.0 no: {PASSWORD} {plain}")))],
        vec![(Step::Rcpt, said(format!("455 4.3.0 for {} you said", encoded(PASSWORD))))],
        vec![(Step::Dot, Upset::Drop)],
    ]);
    let tokens = Mailbox::start(Security::Plain, Some(("watch", TOKEN))).await;
    tokens.offer_auth("XOAUTH2");
    tokens.script([vec![(Step::Auth, said(format!("454 4.3.0 no: {TOKEN} {bearer}")))]]);
    let wrong = Mailbox::start(Security::Plain, Some(("watch", "another"))).await;
    let token = script(bench, "token", &format!("echo noise {TOKEN} >&2; echo '{TOKEN}'"));
    let broken = script(bench, "broken", &format!("echo '{TOKEN}'; echo '{TOKEN}' >&2; exit 1"));
    // It fails once, and prints its input.
    let sendmail = script(
        bench,
        "sendmail",
        "cat >/dev/null; if [ -e sent ]; then exit 0; fi; : >sent\n\
         echo \"$0 $* $(env)\" >&2; exit 75",
    );
    fs::create_dir(bench.path("mails")).unwrap();
    let smtp = |mailbox: &Mailbox, login: &str| {
        format!("smtp = {{ host = '127.0.0.1', port = {}, tls = 'none', {login} }}", mailbox.port())
    };
    let with_password = format!("username = 'watch', password = '{PASSWORD}'");
    let with_token =
        |path: &str| format!("auth = 'xoauth2', username = 'watch', token_command = ['{path}']");
    let starttls =
        format!("smtp = {{ host = '127.0.0.1', port = {}, {with_password} }}", good.port());
    let config = [
        mail("password", &smtp(&good, &with_password)),
        mail("token", &smtp(&tokens, &with_token(&token))),
        mail("broken-token", &smtp(&tokens, &with_token(&broken))),
        mail("wrong-password", &smtp(&wrong, &with_password)),
        mail("no-starttls", &starttls),
        mail(
            "program",
            &format!("sendmail = {{ command = ['{sendmail}', '--x=C4N4RY-arg-T41L'] }}"),
        ),
        mail("folder", "file = { folder = 'mails' }"),
    ];
    (config.concat(), [good, tokens, wrong])
}

fn script(bench: &Bench, name: &str, text: &str) -> String {
    let path = bench.path(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The texts to search for: the markers, plain and in base64 at every offset.
fn needles() -> Vec<String> {
    let mut needles: Vec<String> = MARKS.map(str::to_owned).into();
    for mark in MARKS {
        for shift in 0..3 {
            let encoded = STANDARD.encode([&vec![0; shift], mark.as_bytes()].concat());
            // Without the characters that depend on the neighbours of the marker.
            let inner = encoded.trim_end_matches('=');
            let (start, end) = ([0, 2, 3][shift], inner.len() - 1);
            needles.push(inner[start..end].to_owned());
        }
    }
    needles
}

/// Every value of every row of every table.
fn rows(database: &Path) -> String {
    let connection = Connection::open(database).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = connection.prepare(sql).unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 5, "{tables:?}");
    let mut text = String::new();
    for table in tables {
        let mut all = connection.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            text += &format!("\n{table}:");
            for column in 0..columns {
                let shown = match row.get_ref(column).unwrap() {
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => continue,
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
                };
                text += &format!(" {shown}");
            }
        }
    }
    text
}

fn checked(what: &str, text: &str) {
    // An optional escape of JSON.
    let text = text.replace("\\/", "/").replace("\\u0022", "\"");
    for needle in needles() {
        let found = text.find(&needle);
        let near = found.map(|at| {
            let start = (0..=at.saturating_sub(300)).rev().find(|it| text.is_char_boundary(*it));
            text[start.unwrap()..].chars().take(500).collect::<String>()
        });
        assert_eq!(near, None, "`{needle}` is in {what}");
    }
}

fn ended(rows: &[Value]) -> bool {
    let done = |row: &Value| row["state"] == "delivered" || row["state"] == "dead";
    let disabled = ["wrong-password", "broken-token", "no-starttls", "unproxied", "unproxied-http"];
    let left = |row: &Value| disabled.iter().any(|name| row["channel"] == *name);
    rows.len() == FORMATS.len() + 5 + 7 && rows.iter().all(|row| done(row) || left(row))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_in_the_database_or_in_what_is_printed() {
    let world = World::new().await;
    let World { argil, receivers, proxies, bench, .. } = &world;
    argil.set_status("a1", "TRAINING");
    let echo = format!(r#"{{"message":"no such key: {}"}}"#, KEY.replace('"', "\\\""));
    argil.answer_next("a1", ApiAnswer::status(500, echo.clone()));
    let daemon = bench.start_by(bench.command(&["run", "--log-level", "trace"]));
    assert!(daemon.hint(HINT).starts_with("HTTP/1.1 2"));
    daemon.hint("C4N4RY-another-token_T41L");
    daemon.wait_for_log("avatar \"avatar a1\": baseline");
    argil.set_status("a1", "IDLE");
    let deliveries = bench.wait_for_deliveries("the end of all attempts", ended);
    for (receiver, format) in receivers.iter().zip(FORMATS) {
        let received = receiver.received();
        let expected = responses(format).len();
        assert!(received.len() >= expected, "{format}: {} requests", received.len());
        assert!(received[0].header("x-team").contains("C4N4RY"), "the secrets were sent");
        let signed = received[0].has_header("webhook-signature");
        assert!(!signed || received[0].verify(&signing_secret()).is_ok(), "{format}");
    }
    let proxied: usize = receivers.iter().skip(1).step_by(2).map(|it| it.received().len()).sum();
    assert_eq!(proxies[0].asked().len(), proxied, "one request for each attempt");
    argil.answer_next("a1", ApiAnswer::status(401, echo));
    daemon.wait_for_log("answered 401");
    checked("the log", &daemon.log());
    assert!(daemon.log().contains("***"), "what was repeated was masked");

    let mut commands: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["status", "--json"],
        vec!["status", "--check"],
        vec!["history"],
        vec!["history", "--json"],
        vec!["deliveries"],
        vec!["deliveries", "--json"],
        vec!["channels"],
        vec!["channels", "--json"],
        vec!["check"],
        vec!["check", "--online", "--diff"],
    ];
    for delivery in &deliveries {
        let id = delivery["id"].as_str().unwrap();
        commands.push(vec!["deliveries", "show", id]);
        commands.push(vec!["deliveries", "show", id, "--json"]);
    }
    let channels: BTreeSet<&str> =
        deliveries.iter().map(|delivery| delivery["channel"].as_str().unwrap()).collect();
    receivers.iter().for_each(|it| it.script([Answer::Echo(500, repeated)]));
    commands.extend(channels.into_iter().map(|name| vec!["test", name]));
    for arguments in commands {
        let output = bench.run(&arguments);
        let shown = stdout(&output) + &stderr(&output);
        assert!(!shown.is_empty(), "{arguments:?} says nothing");
        assert!(
            arguments.len() < 3 || arguments[1] != "--online" || shown.contains("proxy reachable")
        );
        checked(&format!("{arguments:?}"), &shown);
    }
    let delivery = format!("/deliveries/{}", deliveries[0]["id"].as_str().unwrap());
    let bearer = format!("authorization: Bearer {PAGE}");
    for path in [
        "/",
        "/avatars/a1",
        "/deliveries",
        &delivery,
        "/metrics",
        "/api/v1/status",
        "/api/v1/channels",
        "/api/v1/deliveries",
        &format!("/api/v1{delivery}"),
    ] {
        let answer = ask(daemon.page(), "GET", path, &[&bearer]);
        assert_eq!(answer.status, 200, "{path}");
        checked(path, &answer.body);
    }
    assert!(daemon.stop().success());
    checked("the rows", &rows(&bench.database()));
    let holders = ["avatar-watch.toml", "token", "broken", "sendmail"].map(|name| bench.path(name));
    for needle in needles() {
        for folder in [bench.path(""), bench.path("mails")] {
            let files = files_with(&folder, &needle);
            assert!(files.iter().all(|file| holders.contains(file)), "`{needle}` in {files:?}");
        }
    }
}
