//! All keys of the config, and the help for unknown keys. A test verifies that the example config
//! shows each of them.

#[derive(Debug)]
pub(in crate::config) struct KeyTable {
    /// Its path; `*` stands for a name.
    pub(in crate::config) path: &'static str,
    pub(in crate::config) keys: &'static [&'static str],
}

impl KeyTable {
    pub(in crate::config) fn knows(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }

    pub(in crate::config) fn suggest(&self, key: &str) -> String {
        if let Some(near) = nearest(key, self.keys) {
            return format!("did you mean `{near}`?");
        }
        if ALL.iter().any(|other| other.path == self.path && other.knows(key)) {
            return "only a channel of another `type` has it".to_owned();
        }
        // The keys of accounts are also those of the default account.
        let home = |other: &&&Self| !["", ACCOUNT.path].contains(&other.path);
        let mut others = ALL.iter().filter(home).filter(|other| other.knows(key));
        if let (Some(other), None) = (others.next(), others.next()) {
            return format!("it belongs in `[{}]`", other.path);
        }
        format!("the keys of this table are {}", listed(self.keys))
    }
}

/// The known word that is most similar, if it is similar enough.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > WORD_LENGTH_MAX {
        return None;
    }
    let folded = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &known.to_lowercase());
    let near = |known: &&str| distance(known) <= 1 + known.len() / 5;
    known.iter().copied().filter(near).min_by_key(|known| distance(known))
}

/// Words in backticks, as a list in a sentence.
pub(in crate::config) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}

pub(in crate::config) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(in crate::config) const ROOT: KeyTable = KeyTable {
    path: "",
    keys: &[
        "heartbeat_url",
        "heartbeat_every",
        "argil",
        "accounts",
        "poll",
        "events",
        "store",
        "web",
        "avatars",
        "discover",
        "channels",
    ],
};
pub(in crate::config) const ARGIL: KeyTable = KeyTable {
    path: "argil",
    keys: &[
        "api_key",
        "base_url",
        "timeout",
        "max_concurrency",
        "max_requests_per_second",
        "unavailable_after",
        "tags",
    ],
};
pub(in crate::config) const ACCOUNT: KeyTable = KeyTable { path: "accounts.*", keys: ARGIL.keys };
pub(in crate::config) const POLL: KeyTable = KeyTable {
    path: "poll",
    keys: &[
        "strategy",
        "training",
        "not_trained",
        "settled",
        "missing",
        "backoff",
        "jitter",
        "overdue_after",
    ],
};
pub(in crate::config) const TRAINING: KeyTable =
    KeyTable { path: "poll.training", keys: &["min", "max", "age_fraction", "adaptive"] };
pub(in crate::config) const SETTLED_STEP: KeyTable =
    KeyTable { path: "poll.settled", keys: &["every", "for"] };
pub(in crate::config) const BACKOFF: KeyTable =
    KeyTable { path: "poll.backoff", keys: &["initial", "max", "multiplier", "jitter"] };
pub(in crate::config) const EVENTS: KeyTable = KeyTable {
    path: "events",
    keys: &["infer_unseen_training", "time_zone", "group_window", "remind_after"],
};
pub(in crate::config) const WEB: KeyTable = KeyTable {
    path: "web",
    keys: &["listen", "public_url", "token", "read", "hosts", "thumbnails", "hint_token"],
};
pub(in crate::config) const STORE: KeyTable =
    KeyTable { path: "store", keys: &["path", "keep_transitions", "keep_deliveries"] };
pub(in crate::config) const AVATAR: KeyTable = KeyTable {
    path: "avatars",
    keys: &["id", "name", "tags", "channels", "assume", "account", "overdue_after"],
};
pub(in crate::config) const DISCOVER: KeyTable = KeyTable {
    path: "discover",
    keys: &["enabled", "every", "accounts", "tags", "channels", "overdue_after"],
};
pub(in crate::config) const CHANNEL: KeyTable = KeyTable {
    path: "channels.*",
    keys: &["type", "events", "only", "operator", "retry_schedule", "expires_after", "on_unknown"],
};
pub(in crate::config) const WEBHOOK: KeyTable = KeyTable {
    path: "channels.*",
    keys: &[
        "type",
        "url",
        "secret",
        "format",
        "accepts",
        "template",
        "content_type",
        "source",
        "headers",
        "proxy",
        "deny_private",
        "ca_file",
        "timeout",
        "events",
        "only",
        "operator",
        "retry_schedule",
        "expires_after",
        "on_unknown",
    ],
};
pub(in crate::config) const EMAIL: KeyTable = KeyTable {
    path: "channels.*",
    keys: &[
        "type",
        "from",
        "to",
        "bounce_to",
        "reply_to",
        "message_id_domain",
        "subject_prefix",
        "threading",
        "list_unsubscribe",
        "smtp",
        "sendmail",
        "file",
        "events",
        "only",
        "operator",
        "retry_schedule",
        "expires_after",
        "on_unknown",
    ],
};
pub(in crate::config) const ONLY: KeyTable =
    KeyTable { path: "channels.*.only", keys: &["tags", "accounts", "models", "names"] };
pub(in crate::config) const SMTP: KeyTable = KeyTable {
    path: "channels.*.smtp",
    keys: &[
        "host",
        "port",
        "tls",
        "auth",
        "username",
        "password",
        "password_command",
        "token_command",
        "ca_file",
        "hello_name",
        "dot_timeout",
    ],
};
pub(in crate::config) const SENDMAIL: KeyTable =
    KeyTable { path: "channels.*.sendmail", keys: &["command", "timeout"] };
pub(in crate::config) const FILE: KeyTable =
    KeyTable { path: "channels.*.file", keys: &["folder"] };
pub(in crate::config) const SECRET: KeyTable =
    KeyTable { path: "secret", keys: &["env", "file", "credential"] };

/// Every table, except the sources of a secret, which occur in many places.
pub(in crate::config) const ALL: [&KeyTable; 18] = [
    &ROOT, &ARGIL, &ACCOUNT, &POLL, &TRAINING, &BACKOFF, &EVENTS, &STORE, &WEB, &AVATAR, &DISCOVER,
    &CHANNEL, &WEBHOOK, &EMAIL, &ONLY, &SMTP, &SENDMAIL, &FILE,
];

/// Longer words are not compared, to bound the time.
const WORD_LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_a_matching_help() {
        let check = |schema: &KeyTable, key: &str, expected: &str| {
            assert_eq!(schema.suggest(key), expected, "for `{key}`");
        };
        check(&ARGIL, "apikey", "did you mean `api_key`?");
        check(&POLL, "Trainig", "did you mean `training`?");
        check(&WEBHOOK, "fromat", "did you mean `format`?");
        check(&ARGIL, "format", "it belongs in `[channels.*]`");
        check(&EMAIL, "url", "only a channel of another `type` has it");
        check(&ROOT, "api_key", "it belongs in `[argil]`");
        check(
            &TRAINING,
            "pace",
            "the keys of this table are `min`, `max`, `age_fraction` and `adaptive`",
        );
        let keys = "the keys of this table are `path`, `keep_transitions` and `keep_deliveries`";
        check(&STORE, "nonsense", keys);
        check(&STORE, &"x".repeat(100_000), keys);
    }
}
