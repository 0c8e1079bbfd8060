use crate::config::error::{ConfigError, Problem};
use crate::config::file::tests::{self, check_added, read_with};
use crate::config::settings::{
    ChannelKind, EmailSettings, MailTransport, Settings, SmtpLogin, SmtpSettings,
};
use crate::domain::mail::options::LoginMethod;
use crate::files::program::Program;
use crate::files::trust::Trust;
use crate::secret::CredentialSource;

use super::*;

const HEAD: &str =
    "[channels.mail]\ntype = 'email'\nfrom = 'a@example.com'\nto = ['b@example.com']\n";
const SMTP: &str = "smtp = { host = 'mail.example.com' }\n";

fn program(command: &[&str]) -> Program {
    let command = command.iter().map(ToString::to_string).collect();
    Program::new(command, Trust::for_named())
}

fn settings(keys: &str) -> Settings {
    tests::settings(&format!("{HEAD}{keys}"))
}

fn email(keys: &str) -> EmailSettings {
    tests::email(&format!("{HEAD}{keys}"))
}

fn server(settings: Settings) -> SmtpSettings {
    let channel = settings.channels.into_values().next().unwrap();
    let ChannelKind::Email(email) = channel.kind else { panic!("a mail channel") };
    let MailTransport::Smtp(smtp) = email.transport else { panic!("a mail server") };
    smtp
}

fn check(keys: &str, expected: &str) {
    check_added(&format!("{HEAD}{keys}"), expected);
}

#[test]
fn a_mail_channel_is_plain_unless_it_says_otherwise() {
    let plain = email(SMTP);
    assert_eq!(
        (plain.bounce_to, plain.reply_to, plain.list_unsubscribe),
        (Some(plain.from), None, None)
    );
    assert_eq!((plain.threading, plain.subject_prefix.as_str()), (Threading::Avatar, PREFIX));
    assert_eq!(server(settings(SMTP)).dot_timeout, Duration::from_secs(300));
    let address = MailAddress::parse("c@example.com").unwrap();
    let full = email(
        &format!(
            "{SMTP}bounce_to = 'c@example.com'\nreply_to = 'c@example.com'\nthreading = 'none'\n\
         list_unsubscribe = 'https://example.com/leave'\nsubject_prefix = '[studio] '\n\
         smtp.dot_timeout = '10m'\n"
        )
        .replace("smtp = { host = 'mail.example.com' }", "smtp.host = 'mail.example.com'"),
    );
    assert_eq!(full.bounce_to, Some(address.clone()));
    assert_eq!((full.reply_to, full.threading), (Some(address), Threading::None));
    assert_eq!(full.subject_prefix, "[studio]");
    assert_eq!(full.list_unsubscribe.as_deref(), Some("https://example.com/leave"));
    let MailTransport::Smtp(smtp) = full.transport else { panic!("a mail server") };
    assert_eq!(smtp.dot_timeout, Duration::from_secs(600));
    for none in ["", "none"] {
        let found = email(&format!("{SMTP}bounce_to = '{none}'\nsubject_prefix = ''\n"));
        assert_eq!((found.bounce_to, found.subject_prefix.as_str()), (None, ""));
    }
}

#[test]
fn mails_go_exactly_one_way() {
    let program = program(&["/usr/sbin/sendmail"]);
    assert_eq!(
        email("sendmail = { command = ['/usr/sbin/sendmail'] }").transport,
        MailTransport::Sendmail { program, timeout: Duration::from_secs(60) }
    );
    let MailTransport::File { folder } = email("file = { folder = 'mails' }").transport else {
        panic!()
    };
    assert!(folder.ends_with("mails"));
    check(
        "",
        "config.toml:2: `channels.mail.smtp` is missing\n  help: write `smtp = { host = \"…\" }`, \
         `sendmail = { command = […] }` or `file = { folder = \"…\" }`",
    );
    check(
        &format!("file = {{ folder = 'mails' }}\n{SMTP}"),
        "config.toml:6: `channels.mail.file` is a second transport of the same channel\n  \
         help: keep one of `smtp`, `sendmail` and `file`",
    );
    check(
        "sendmail = { command = ['sendmail'] }",
        "config.toml:6: `channels.mail.sendmail.command` does not begin with the path of a \
         program\n  help: begin with an absolute path, like `[\"/usr/sbin/sendmail\"]`",
    );
    check(
        "sendmail = { command = [] }",
        "config.toml:6: `channels.mail.sendmail.command` is an empty list\n  \
         help: write the path of a program, and its arguments",
    );
}

#[test]
fn what_would_break_a_header_is_refused() {
    check(
        &format!("{SMTP}list_unsubscribe = 'http://example.com/SECRET'"),
        "config.toml:7: `channels.mail.list_unsubscribe` is neither a `mailto` nor an `https` \
         URL\n  help: write one like `mailto:leave@example.com` or `https://example.com/leave`",
    );
    check(
        &format!("{SMTP}subject_prefix = \"a\\nb\""),
        "config.toml:7: `channels.mail.subject_prefix` is `a\\u{a}b`, which is not a valid \
         prefix\n  help: write at most 40 characters on one line",
    );
    check(
        &format!("{SMTP}threading = 'thread'"),
        "config.toml:7: `channels.mail.threading` has the unknown value `thread`\n  \
         help: it can be `avatar` or `none`",
    );
}

#[test]
fn a_login_has_a_user_and_one_thing_that_proves_it() {
    let login = |keys: &str| {
        let smtp = server(settings(&format!("smtp = {{ host = 'mail.example.com', {keys} }}")));
        let SmtpLogin { username, auth, credential: proof } = smtp.login.unwrap();
        assert_eq!(username, "u");
        (auth, proof)
    };
    let command = CredentialSource::Command(program(&["/bin/token", "x"]));
    let given = CredentialSource::Given(crate::secret::Secret::new("p"));
    for (keys, expected) in [
        ("username = 'u', password = 'p'", (LoginMethod::Password, given.clone())),
        (
            "username = 'u', password_command = ['/bin/token', 'x']",
            (LoginMethod::Password, command.clone()),
        ),
        ("auth = 'xoauth2', username = 'u', password = 'p'", (LoginMethod::Xoauth2, given)),
        (
            "auth = 'xoauth2', username = 'u', token_command = ['/bin/token', 'x']",
            (LoginMethod::Xoauth2, command),
        ),
    ] {
        assert_eq!(login(keys), expected, "for `{keys}`");
    }
    let check = |keys: &str, expected: &str| {
        let text = format!("smtp = {{ host = 'mail.example.com', {keys} }}");
        check(&text, &format!("config.toml:6: `channels.mail.smtp.{expected}"));
    };
    check(
        "username = 'u', token_command = ['/bin/token']",
        "token_command` does not go with `auth`\n  help: write `auth = \"xoauth2\"` too",
    );
    check(
        "username = 'u', password = 'p', password_command = ['/bin/token']",
        "password_command` is set besides another credential\n  \
         help: keep one of `password`, `password_command` and `token_command`",
    );
    check(
        "auth = 'xoauth2', token_command = ['/bin/token']",
        "token_command` is set without `username`\n  \
         help: write `username` too, or remove both",
    );
    check(
        "auth = 'xoauth2'",
        "auth` is set without `username`\n  help: write `username` too, or remove both",
    );
}

#[test]
fn an_id_without_a_whole_domain_is_warned_of_where_mails_leave_this_machine() {
    let warned = |keys: &str| {
        let warnings = settings(keys).warnings.into_iter().map(|it| it.to_string());
        warnings.filter(|it| it.contains("mail.message_id_domain")).collect::<Vec<_>>()
    };
    assert_eq!(warned(SMTP), [""; 0]);
    let expected = "config.toml:7: `channels.mail.message_id_domain` makes message ids of the \
                    domain `watch`, without a dot\n  help: write `message_id_domain = \"…\"`, \
                    with a whole name like `watch.example.com`";
    assert_eq!(warned(&format!("{SMTP}message_id_domain = 'watch'")), [expected]);
    assert_eq!(warned("file = { folder = 'mails' }\nmessage_id_domain = 'watch'"), [""; 0]);
}

fn said(problems: Vec<Problem>) -> String {
    ConfigError::Problems(problems).to_string()
}

#[test]
fn an_address_is_refused_with_what_is_wrong_and_taken_in_one_form() {
    let with = |from: &str| format!("from = '{from}'\n{SMTP}");
    let head = HEAD.replace("from = 'a@example.com'\n", "");
    for (from, wrong) in [
        ("a..b@example.com", "has blanks, or dots or signs in an odd place"),
        (
            "a@127.0.0.1",
            "has a wrong domain, which is an address: in brackets, it is `[127.0.0.1]`",
        ),
        ("a@[300.1.1.1]", "has a wrong domain, which has no address in its brackets"),
        ("A <a@example.com>", "has a name or angle brackets around the address"),
    ] {
        let text = format!("argil.api_key = 'key'\n{head}{}", with(from));
        let text = said(read_with(&text, &[]).unwrap_err());
        let expected = format!("config.toml:5: `channels.mail.from` {wrong}");
        assert!(text.contains(&expected), "for {from}: {text}");
        assert!(text.contains("help: write a bare address"), "{text}");
    }
    let found = |keys: &str| {
        let email = tests::email(&format!("{head}{keys}"));
        (email.from.to_string(), email.message_id_domain.to_string())
    };
    for (from, address, domain) in [
        ("watch@müller.example", "watch@xn--mller-kva.example", "xn--mller-kva.example"),
        ("\"john doe\"@example.com", "\"john doe\"@example.com", "example.com"),
        ("root@[::1]", "root@[IPv6:::1]", "[IPv6:::1]"),
    ] {
        assert_eq!(found(&with(from)), (address.to_owned(), domain.to_owned()));
    }
}

#[test]
fn a_greeting_is_a_name_that_servers_take_or_an_address_in_brackets() {
    let smtp = |name: &str, host: &str| {
        let text = format!("smtp = {{ host = '{host}', hello_name = '{name}' }}");
        read_with(&format!("argil.api_key = 'key'\n{HEAD}{text}"), &[])
    };
    let warned = |settings: &Settings| {
        let warnings = settings.warnings.iter().map(ToString::to_string);
        warnings.filter(|it| it.contains("hello_name")).collect::<Vec<_>>()
    };
    for (name, taken) in [
        ("watch.example.com", "watch.example.com"),
        ("watch.example.com.", "watch.example.com"),
        ("wächter.example", "xn--wchter-bua.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("[::1]", "[IPv6:::1]"),
    ] {
        let settings = smtp(name, "mail.example.com").unwrap();
        assert_eq!(warned(&settings), [""; 0], "for {name}");
        assert_eq!(server(settings).hello_name.unwrap().as_str(), taken);
    }
    for name in [
        "a..b",
        ".",
        "..",
        ".a",
        "-x.example",
        "x-.example",
        "[]",
        "[300.1.1.1]",
        "[a.example]",
        "1.2.3.4",
        "::1",
        "watch_01",
        "_",
        "a b",
        "a/b",
        "[IPv6:1.2.3.4]",
        "[127.0.0.1",
        "1.2.3",
    ] {
        let text = said(smtp(name, "mail.example.com").unwrap_err());
        assert!(text.starts_with("config.toml:6: `channels.mail.smtp.hello_name` is `"), "{text}");
        assert!(text.contains("help: "), "{text}");
    }
    let warnings = |host: &str| warned(&smtp("watch", host).unwrap());
    assert!(warnings("mail.example.com")[0].contains("without a dot"));
    assert_eq!(warnings("localhost"), [""; 0]);
}

#[test]
fn a_mail_server_is_named_as_a_resolver_and_a_certificate_have_it() {
    use rustls::pki_types::ServerName;

    let host = |text: &str| {
        let text = format!("smtp = {{ host = '{text}' }}");
        let read = read_with(&format!("argil.api_key = 'key'\n{HEAD}{text}"), &[]);
        read.ok().map(|settings| server(settings).host)
    };
    for (text, expected) in [
        ("mail.example.com.", "mail.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("my_host.local", "my_host.local"),
        ("smtp", "smtp"),
    ] {
        let host = host(text).unwrap();
        assert_eq!(host, expected);
        assert!(ServerName::try_from(host).is_ok(), "for {text}");
    }
    for text in ["-x.example", "x-.example", "a b", "a..b", "[]", "a:25", "mail.123"] {
        assert_eq!(host(text), None, "for {text}");
    }
    // What no webhook may call, no mail does.
    for text in ["169.254.169.254", "fd00:ec2::254", "[::ffff:169.254.169.254]", "0.0.0.0"] {
        assert_eq!(host(text), None, "for {text}");
    }
}
