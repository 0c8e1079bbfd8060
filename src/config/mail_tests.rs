use crate::config::file::tests::{check_added, read_with};
use crate::config::settings::{
    BounceTo, ChannelKind, EmailSettings, MailWay, Settings, SmtpAuth, SmtpLogin, SmtpProof,
};

use super::*;

const HEAD: &str =
    "[channels.mail]\ntype = 'email'\nfrom = 'a@example.com'\nto = ['b@example.com']\n";
const SMTP: &str = "smtp = { host = 'smtp.example.com' }\n";

fn settings(keys: &str) -> Settings {
    read_with(&format!("argil.api_key = 'key'\n{HEAD}{keys}"), &[]).unwrap()
}

fn email(keys: &str) -> EmailSettings {
    let channel = settings(keys).channels.into_values().next().unwrap();
    let ChannelKind::Email(email) = channel.kind else { panic!("a mail channel") };
    *email
}

fn check(keys: &str, expected: &str) {
    check_added(&format!("{HEAD}{keys}"), expected);
}

#[test]
fn a_mail_channel_is_plain_unless_it_says_otherwise() {
    let plain = email(SMTP);
    assert_eq!(
        (plain.bounce_to, plain.reply_to, plain.list_unsubscribe),
        (BounceTo::From, None, None)
    );
    assert_eq!((plain.threading, plain.subject_prefix.as_str()), (Threading::Avatar, PREFIX));
    let MailWay::Smtp(smtp) = plain.way else { panic!("a mail server") };
    assert_eq!(smtp.dot_timeout, Duration::from_secs(300));
    let address = MailAddress::parse("c@example.com").unwrap();
    let full = email(
        &format!(
            "{SMTP}bounce_to = 'c@example.com'\nreply_to = 'c@example.com'\nthreading = 'none'\n\
         list_unsubscribe = 'https://example.com/leave'\nsubject_prefix = '[studio] '\n\
         smtp.dot_timeout = '10m'\n"
        )
        .replace("smtp = { host = 'smtp.example.com' }", "smtp.host = 'smtp.example.com'"),
    );
    assert_eq!(full.bounce_to, BounceTo::Address(address.clone()));
    assert_eq!((full.reply_to, full.threading), (Some(address), Threading::None));
    assert_eq!(full.subject_prefix, "[studio]");
    assert_eq!(full.list_unsubscribe.as_deref(), Some("https://example.com/leave"));
    let MailWay::Smtp(smtp) = full.way else { panic!("a mail server") };
    assert_eq!(smtp.dot_timeout, Duration::from_secs(600));
    for none in ["", "none"] {
        let found = email(&format!("{SMTP}bounce_to = '{none}'\nsubject_prefix = ''\n"));
        assert_eq!((found.bounce_to, found.subject_prefix.as_str()), (BounceTo::None, ""));
    }
}

#[test]
fn mails_go_exactly_one_way() {
    let program = vec!["/usr/sbin/sendmail".to_owned()];
    assert_eq!(
        email("sendmail = { command = ['/usr/sbin/sendmail'] }").way,
        MailWay::Sendmail { command: program, timeout: Duration::from_secs(60) }
    );
    let MailWay::File { folder } = email("file = { folder = 'mails' }").way else { panic!() };
    assert!(folder.ends_with("mails"));
    check(
        "",
        "config.toml:2: `channels.mail.smtp` is missing\n  help: write `smtp = { host = \"…\" }`, \
         `sendmail = { command = […] }` or `file = { folder = \"…\" }`",
    );
    check(
        &format!("file = {{ folder = 'mails' }}\n{SMTP}"),
        "config.toml:6: `channels.mail.file` is a second way for the same mails\n  \
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
        "config.toml:7: `channels.mail.subject_prefix` is `a\\u{a}b`, which is no beginning of a \
         line\n  help: write at most 40 characters on one line",
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
        let text = format!("smtp = {{ host = 'smtp.example.com', {keys} }}");
        let MailWay::Smtp(smtp) = email(&text).way else { panic!("a mail server") };
        let SmtpLogin { username, auth, proof } = smtp.login.unwrap();
        assert_eq!(username, "u");
        (auth, proof)
    };
    let command = SmtpProof::Command(vec!["/bin/token".to_owned(), "x".to_owned()]);
    let given = SmtpProof::Given(crate::secret::Secret::new("p"));
    for (keys, expected) in [
        ("username = 'u', password = 'p'", (SmtpAuth::Password, given.clone())),
        (
            "username = 'u', password_command = ['/bin/token', 'x']",
            (SmtpAuth::Password, command.clone()),
        ),
        ("auth = 'xoauth2', username = 'u', password = 'p'", (SmtpAuth::Xoauth2, given)),
        (
            "auth = 'xoauth2', username = 'u', token_command = ['/bin/token', 'x']",
            (SmtpAuth::Xoauth2, command),
        ),
    ] {
        assert_eq!(login(keys), expected, "for `{keys}`");
    }
    let check = |keys: &str, expected: &str| {
        let text = format!("smtp = {{ host = 'smtp.example.com', {keys} }}");
        check(&text, &format!("config.toml:6: `channels.mail.smtp.{expected}"));
    };
    check(
        "username = 'u', token_command = ['/bin/token']",
        "token_command` does not go with `auth`\n  help: write `auth = \"xoauth2\"` too",
    );
    check(
        "username = 'u', password = 'p', password_command = ['/bin/token']",
        "password_command` is a second answer to the same question\n  \
         help: keep one of `password`, `password_command` and `token_command`",
    );
    check(
        "auth = 'xoauth2', token_command = ['/bin/token']",
        "token_command` stands there without `username`\n  \
         help: write `username` too, or leave both out",
    );
    check(
        "auth = 'xoauth2'",
        "auth` stands there without `username`\n  help: write `username` too, or leave both out",
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
