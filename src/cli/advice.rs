//! What `check --online` and `test` find, with a help for each kind of failure.

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::polling::observation::{Denial, Observation, PollError};

/// Whether a poll is fine, what it found, and help unless it found a known status.
pub(crate) fn for_poll(observation: &Observation) -> (bool, String, Option<&'static str>) {
    let (text, help) = match observation {
        Observation::Seen(avatar) if avatar.status.is_recognized() => {
            return (true, format!("status {}", avatar.status), None);
        }
        Observation::Seen(avatar) => {
            let help = "such a status ends no training, and `avatar.status_unrecognized` reports \
                        it; a newer version of avatar-watch may know it";
            return (true, format!("unknown status {}", avatar.status.display()), Some(help));
        }
        Observation::Missing { reason } => (
            format!("no such avatar: {reason}"),
            "check the id, and that the avatar is in this account",
        ),
        Observation::Denied { denial: Denial::Key, reason } => (
            format!("API key rejected: {reason}"),
            "create a key at app.argil.ai, and store it where `api_key` points to",
        ),
        Observation::Denied { denial: Denial::Avatar, reason } => (
            format!("access denied: {reason}"),
            "check that it is in the workspace of this key; for an avatar of another account set \
             `account = \"…\"`",
        ),
        Observation::Throttled { reason, .. } => (
            format!("rate-limited: {reason}"),
            "try again later; check whether another program uses this key",
        ),
        Observation::Failed { fault, reason, .. } => (reason.clone(), for_fault(*fault)),
    };
    (false, text, Some(help))
}

/// The same for the list of an account, which has no avatar in its URL.
pub(crate) fn for_list(observation: &Observation) -> (bool, String, Option<&'static str>) {
    let (fine, text, help) = for_poll(observation);
    let help = match observation {
        Observation::Failed { fault: PollError::RequestRejected, .. } => Some(
            "check `base_url`: it is the URL of the API, and the list is at `/avatars` below it",
        ),
        Observation::Denied { denial: Denial::Avatar, .. } => {
            Some("check the permissions of the key, and the plan of its workspace")
        }
        _ => help,
    };
    (fine, text, help)
}

const fn for_fault(fault: PollError) -> &'static str {
    match fault {
        PollError::Unresolved => {
            "check `base_url`, and that this machine resolves other names (name servers: \
             `/etc/resolv.conf`)"
        }
        PollError::Unreachable => "check `base_url`, and that this machine reaches the internet",
        PollError::Misrouted => "check `base_url`, and the clock of this machine",
        PollError::InvalidResponse => "try again later; check `base_url`",
        PollError::UnknownEncoding => {
            "a proxy or CDN between this machine and the API changes responses: only `gzip` is \
             requested"
        }
        PollError::RequestRejected => "check the id and `base_url`",
        PollError::Local => "this machine is out of a resource, such as file handles",
    }
}

/// Help for a failed connection or delivery.
pub(crate) fn for_channel(outcome: &Outcome) -> &'static str {
    if let Some(help) = outcome.help {
        return help;
    }
    match (outcome.phase, outcome.code) {
        ("resolve", _) => {
            "check the host name, and that this machine resolves other names (name servers: \
             `/etc/resolv.conf`)"
        }
        ("connect", _) => "check that the server runs and that a firewall permits its port",
        ("tls", None) if outcome.class == OutcomeClass::Misconfigured => {
            "check `port`; for a port that starts with TLS set `tls = \"implicit\"`"
        }
        ("tls", None) if outcome.class == OutcomeClass::Local => {
            "install `ca-certificates`, or set `ca_file` to your certificate authority"
        }
        ("tls", _) => {
            "check that the certificate is valid for that name; set `ca_file` for a certificate \
             authority of your own"
        }
        ("proxy", _) => "check `proxy`, and that this machine may use it",
        ("token", _) => "run the command manually: it must print a token and exit with 0",
        ("sendmail", _) => "run the command of `sendmail` manually",
        ("file", _) => "create the folder, and permit this user to write to it",
        ("hello", Some(500..)) if outcome.summary().contains(TO_OUR_NAME) => {
            "set `hello_name` to the name of this machine in the DNS"
        }
        ("mail" | "rcpt", None) if outcome.class != OutcomeClass::Retryable => {
            "use ASCII addresses, or a server that offers SMTPUTF8"
        }
        ("auth", None) if outcome.class == OutcomeClass::Misconfigured => {
            "use an authentication mechanism that the server offers; some offer none before TLS"
        }
        ("auth", _) => "check user name and password; some servers require an app password",
        ("response", None) => "check that the receiver works, and that `timeout` is long enough",
        _ => "check the log of the server",
    }
}

/// The end of the message when a server refuses the name in our greeting, as opposed to the host.
const TO_OUR_NAME: &str = ", as `";
