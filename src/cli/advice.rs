//! What mends what `check --online` and `test` find: a sentence for each kind of failure.

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::polling::observation::{Denial, Observation, PollError};

/// What to do about an avatar that was not seen; `None` when it was.
pub fn for_poll(seen: &Observation) -> Option<&'static str> {
    Some(match seen {
        Observation::Seen(avatar) if avatar.status.is_recognized() => return None,
        Observation::Seen(_) => {
            "nothing is concluded from it, and operators are told; a newer version may know it"
        }
        Observation::Missing { .. } => "is the id right, and of this account?",
        Observation::Denied { denial: Denial::Key, .. } => {
            "make a key at app.argil.ai, and put it where `api_key` says"
        }
        Observation::Denied { denial: Denial::Avatar, .. } => {
            "is it in the workspace of this key? One of another account says `account = \"…\"`"
        }
        Observation::Throttled { .. } => "try again in a while; does anything else use this key?",
        Observation::Failed { fault: PollError::Unresolved, .. } => {
            "is `base_url` right, and does this machine find other names? Its name servers stand \
             in `/etc/resolv.conf`"
        }
        Observation::Failed { fault: PollError::Unreachable, .. } => {
            "is `base_url` right, and does this machine reach the internet?"
        }
        Observation::Failed { fault: PollError::Misrouted, .. } => {
            "is `base_url` right, and the clock of this machine?"
        }
        Observation::Failed { fault: PollError::InvalidResponse, .. } => {
            "try again in a while; is `base_url` right?"
        }
        Observation::Failed { fault: PollError::UnknownEncoding, .. } => {
            "something between this machine and the API (a proxy, a CDN) changes what it answers: \
             only `gzip` is asked for"
        }
        Observation::Failed { fault: PollError::RequestRejected, .. } => {
            "is the id right, and `base_url`?"
        }
        Observation::Failed { fault: PollError::Local, .. } => {
            "it is this machine that lacks something, such as file handles"
        }
    })
}

/// What to do about a channel that was not connected to, or did not take a message.
pub fn for_channel(outcome: &Outcome) -> &'static str {
    if let Some(help) = outcome.help {
        return help;
    }
    match (outcome.phase, outcome.code) {
        ("resolve", _) => {
            "is the name of the host right, and does this machine find others? Its name servers \
             stand in `/etc/resolv.conf`"
        }
        ("connect", _) => "does the server run, and may this machine connect to its port?",
        ("tls", None) if outcome.class == OutcomeClass::Misconfigured => {
            "is `port` right? One that speaks TLS from the first byte wants `tls = \"implicit\"`"
        }
        ("tls", None) if outcome.class == OutcomeClass::Local => {
            "install `ca-certificates`, or name an authority of yours with `ca_file`"
        }
        ("tls", _) => {
            "is the certificate good for that name? `ca_file` names an authority of yours"
        }
        ("proxy", _) => "is `proxy` right, and may this machine use it?",
        ("token", _) => "run the command by hand: it must print a token and exit with 0",
        ("sendmail", _) => "run the command of `sendmail` by hand",
        ("file", _) => "make the folder, and let this user write into it",
        ("hello", Some(500..)) if outcome.summary().contains(TO_OUR_NAME) => {
            "write as `hello_name` the name that this machine has in the DNS"
        }
        ("mail" | "rcpt", None) if outcome.class != OutcomeClass::Retryable => {
            "write those addresses in ASCII, or use a server that offers SMTPUTF8"
        }
        ("auth", None) if outcome.class == OutcomeClass::Misconfigured => {
            "use one of the ways that it offers; some offer none in plain, or before TLS"
        }
        ("auth", _) => {
            "are the user's name and the password right? Some want one made for programs"
        }
        ("response", None) => "does the receiver run well, and is `timeout` long enough for it?",
        _ => "what does the other side's log say?",
    }
}

/// How a refusal of the name that we greet with ends, and not one of us before.
const TO_OUR_NAME: &str = ", as `";
