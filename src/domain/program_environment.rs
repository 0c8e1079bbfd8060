//! The environment of programs that the daemon starts: what a program needs to find its files, its
//! language and the agents of its user. Other variables are not passed on, since they may contain
//! secrets.

/// Whether a program inherits this variable. None of these can be the source of a secret.
pub(crate) fn is_passed_on(variable: &str) -> bool {
    PASSED_ON.contains(&variable) || variable.starts_with("LC_")
}

const PASSED_ON: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "LOCALE_ARCHIVE",
    // The locations of trusted certificates.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // The settings of a user's programs, such as those of msmtp.
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    // The agents and stores of a user's secrets: those of `secret-tool`, `gpg` and `pass`.
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "PASSWORD_STORE_GPG_OPTS",
];
