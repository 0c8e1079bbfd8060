//! What the text of a permanent refusal is about, in the English that mail servers use.

/// What words speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum Phrase {
    /// Of us, beyond doubt.
    SurelyOfUs,
    /// Of a limit that we have reached.
    LimitOfOurs,
    /// Of this mail: its size or its content.
    OfMail,
    /// Of this recipient.
    OfRecipient,
    /// Of us, as it seems.
    OfUs,
    /// Of a limit, as it seems of ours.
    OfLimit,
    /// Of a policy, whomever it is against; or of a state of an account, whosever it is.
    OfPolicy,
}

/// What the words of a refusal speak of; `None` when nothing in them is known.
pub(in crate::domain) fn mentions(
    text: &str,
    sender: &str,
    recipient: &str,
    hello_name: &str,
) -> Option<Phrase> {
    let text = text.to_lowercase();
    let (sender, recipient) = (sender.to_lowercase(), recipient.to_lowercase());
    let hello_name = format!("<{}>", hello_name.to_lowercase());
    let names = |name: &str| !name.is_empty() && text.contains(name);
    let of_sender_alone = names(&sender) && !names(&recipient);
    let of_hello_name = hello_name.len() > 2 && names(&hello_name);
    let without = |text: &str, name: &str| match name {
        "" => text.to_owned(),
        name => text.replace(name, " "),
    };
    let text = without(&without(&text, &recipient), &sender);
    let text: String = text.split(|char: char| char.is_whitespace()).collect::<Vec<_>>().join(" ");
    let is_part = |char: char| char.is_alphanumeric();
    let words: Vec<&str> =
        text.split(|char: char| !is_part(char)).filter(|word| !word.is_empty()).collect();
    let has = |list: &[&str]| {
        list.iter().any(|item| match item.strip_suffix('*') {
            Some(stem) => words.iter().any(|word| word.starts_with(stem)),
            None if item.chars().all(is_part) => words.contains(item),
            None => text.contains(item),
        })
    };
    let is_state = has(STATE);
    let is_unknown = has(RECIPIENT) || (is_state && (has(MAILBOX) || names(&recipient)));
    Some(if has(SURELY_US) {
        Phrase::SurelyOfUs
    } else if has(LIMITS) {
        Phrase::LimitOfOurs
    } else if has(MAIL) {
        Phrase::OfMail
    } else if has(SENDER) || (!is_unknown && (of_sender_alone || of_hello_name)) {
        Phrase::OfUs
    } else if text.contains(NO_RULE) {
        Phrase::OfPolicy
    } else if is_unknown {
        Phrase::OfRecipient
    } else if has(US) {
        Phrase::OfUs
    } else if is_state {
        Phrase::OfPolicy
    } else if has(LIMIT) {
        Phrase::OfLimit
    } else if has(POLICY) {
        Phrase::OfPolicy
    } else {
        return None;
    })
}

/// Whatever the status code.
const SURELY_US: &[&str] = &[
    "helo command rejected",
    "relay access denied",
    "relaying denied",
    "sender address rejected",
    "sender rejected",
    "sender verify",
    "senderdenied*",
    "sendasdenied*",
    "send as",
    "client was not authenticated",
    "client host rejected",
    "email address is not verified",
];
/// Whatever the status code; what is over a limit is so for a while.
const LIMITS: &[&str] = &[
    "throttl*",
    "ratelimit*",
    "rate limit",
    "at a rate",
    "unusual rate",
    "sending rate",
    "mail too quickly",
    "sending limit",
    "sending quota",
    "send limit",
    "send quota",
    "submission quota",
    "message quota",
    "relay limit",
    "daily limit",
    "daily quota",
    "hourly limit",
    "per hour",
    "per day",
    "too many connections",
    "too many concurrent",
    "too many messages",
    "too many recipients",
    "too many mails",
    "too many emails",
    "exceeded the max",
    "permitted limits",
    "credits exceeded",
    "exceeded threshold",
    "allowed messages",
    "mail flood",
    "outgoing quota",
    "sender over quota",
    "sender quota",
    "frequency",
    "email quota exceeded",
];
/// Size and content. A refusal as spam is about the reputation of the sender.
const MAIL: &[&str] = &[
    "virus*",
    "malware",
    "infected",
    "attachment*",
    "executable",
    "phishing",
    "banned content",
    "content rejected",
    "unacceptable content",
    "its content presents",
    "too large",
    "too big",
    "message size",
    "size limit",
    "size exceed",
    "maximum size",
    "malformed",
    "rfc 5322 compliant",
    "bare lf",
    "8bit*",
    "mime",
];
/// Words for who sends. A recipient that is unknown has none of them.
const SENDER: &[&str] = &[
    "your account",
    "your server",
    "your mail server",
    "your host",
    "your network",
    "your domain",
    "your ip",
    "sending account",
    "sending user",
    "sending domain",
    "sending host",
    "sending server",
    "sending ip",
    "sender",
    "senders",
    "sendername",
    "emetteur",
    "remetente",
    "absender*",
    "mail from",
    "from address",
    "envelope from",
    "from header",
    "return path",
    "not owned by",
    "on behalf of",
    "own address",
    "not allowed to send",
    "not permitted to send",
    "not authorized to send",
    "not authorised to send",
];
/// What `OpenSMTPD` says, without a status code, of mail that no rule of it takes, also to relay.
const NO_RULE: &str = "invalid recipient: <";
const RECIPIENT: &[&str] = &[
    "no such",
    "not exist",
    "doesn't exist",
    "unknown",
    "unroutable",
    "unrouteable",
    "undeliverable",
    "invalid recipient",
    "invalid mailbox",
    "invalid address",
    "recipientnotfound",
    "not found",
    "no mailbox",
    "mailbox unavailable",
    "mailbox not",
    "mailbox full",
    "mailbox is full",
    "not a valid",
    "not a local",
    "not a known",
    "not our customer",
    "that you tried to reach",
    "doesn't have a",
    "not here",
    "domain missing",
];
/// What an account may be in: of the recipient only where words for that one stand with it.
const STATE: &[&str] = &[
    "over quota",
    "quota exceeded",
    "storage",
    "disabled",
    "deactivated",
    "inactive",
    "suspended",
    "moved",
    "no longer",
];
const MAILBOX: &[&str] = &["mailbox", "mailboxes", "inbox", "recipient", "recipients"];
/// Limits that may be ours; those of a mail or a mailbox have words of their own.
const LIMIT: &[&str] = &["limit*", "quota*", "rate", "too many", "too fast", "too often"];
/// Words for us, our right to send, our address and our domain.
const US: &[&str] = &[
    "relay",
    "relays",
    "relaying",
    "relayed",
    "rcpthosts",
    "helo",
    "ehlo",
    "auth",
    "authenticate",
    "authenticated",
    "authentication",
    "unauthenticated",
    "credentials",
    "password",
    "log in",
    "logged in",
    "login",
    "starttls",
    "tls",
    "ssl",
    "encryption",
    "spf",
    "dkim",
    "dmarc",
    "arc",
    "ptr",
    "rdns",
    "reverse dns",
    "hostname",
    "host name",
    "client",
    "ip",
    "ips",
    "ipv6",
    "reputation",
    "rbl",
    "dnsbl",
    "blacklist*",
    "blocklist*",
    "blocked using",
    "blocked see",
    "black list",
    "block list",
    "denylist*",
    "spamhaus",
    "spamcop",
    "barracuda*",
    "proofpoint",
    "sorbs",
    "delist*",
    "banned",
    "listed",
    "verify your",
    "upgrade",
    "billing",
    "subscription",
    "subscribed",
    "free accounts",
    "tenant*",
    "unregistered",
    "outbound",
    "allowed hosts",
    "permission*",
];
const POLICY: &[&str] = &[
    "policy",
    "policies",
    "denied",
    "deny",
    "prohibited",
    "prohibition",
    "forbidden",
    "not allowed",
    "not permitted",
    "not authorized",
    "not authorised",
    "unauthorized",
    "unauthorised",
    "refused",
    "rejected",
    "reject",
    "blocked",
    "spam*",
    "unsolicited",
    "bulk",
    "abuse",
    "suspicious",
    "not accepted",
    "not accepting",
    "restricted",
    "restriction",
    "security",
];
