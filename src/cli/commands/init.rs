//! `avatar-watch init`: writes a valid starter config. An existing file is never lost.
//!
//! Secrets are not written into the config: the generated webhook secret, the URL of a chat and
//! secrets that the user types go to files beside it that only the owner can read. A replaced file
//! is kept. It fails when another user could have written one, or can write to the folder.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::account_avatars::{ListFailure, list_avatars, named_by_arguments};
use crate::cli::args::InitArgs;
use crate::cli::command_line::command_line;
use crate::cli::commands::{init_questions, secret};
use crate::cli::exit::Exit;
use crate::cli::output::{line, print_error, print_help};
use crate::cli::prompt::is_interactive;
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::from_env::{KEY_VARIABLE, KeySource, settings_of_key};
use crate::config::init_template::{
    PASSWORD_VARIABLE, SECRET_VARIABLE, SecretLocation, StarterAnswers, chat_of, init_config,
};
use crate::config::parse::host;
use crate::config::settings::AccountSettings;
use crate::daemon::config::load_config;
use crate::domain::account::AccountName;
use crate::domain::avatar::Avatar;
use crate::files::trust::{Distrust, Facts, Trust};
use crate::files::write;
use crate::secret::Secret;
use crate::signing_secret::{FRESH_BYTES, SigningSecret};
use crate::text::sanitize::sanitize;

pub(crate) fn init(config: Option<&Path>, args: &InitArgs) -> Exit {
    let target = args.output.as_deref().or(config).unwrap_or(Path::new(DEFAULT_PATH));
    match write(target, args) {
        Ok(steps) => {
            steps.iter().for_each(|step| line(step));
            Exit::Ok
        }
        Err(failure) => print_init_error(&failure),
    }
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("`{}` exists already", sanitize(&.0.to_string_lossy()))]
    Exists(PathBuf),
    #[error("nothing was written")]
    Interrupted,
    #[error("`{}` cannot be written: {source}", sanitize(&.path.to_string_lossy()))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("`{}` {}", sanitize(&.path.to_string_lossy()), .distrust.what)]
    Distrusted { path: PathBuf, distrust: Distrust },
    #[error("the answers cannot be read: {0}")]
    Unread(io::Error),
    #[error("invalid answer")]
    Problems(ConfigError),
    #[error("{0}")]
    NoAvatar(String),
}

fn print_init_error(failure: &InitError) -> Exit {
    if let InitError::Problems(ConfigError::Problems(problems)) = failure {
        for problem in problems {
            let help = problem.help.as_ref().map(|help| format!("\n  help: {help}"));
            print_error(&format!(
                "`{}` {}{}",
                problem.key,
                problem.message,
                help.unwrap_or_default()
            ));
        }
    }
    print_error(&format!("avatar-watch: {failure}"));
    match failure {
        InitError::Exists(_) => {
            print_help(
                "use `--output PATH` for another file, or `--force` to replace it and keep it as \
                 `….old`",
            );
            Exit::Failed
        }
        InitError::Distrusted { distrust, .. } => {
            print_help(&distrust.help);
            Exit::Failed
        }
        InitError::NoAvatar(_) => {
            print_help(
                "`--avatar` takes ids, and with the API key also names of avatars, or `all`",
            );
            Exit::Problems
        }
        InitError::Interrupted => Exit::Interrupted,
        InitError::Problems(_) => Exit::Problems,
        InitError::Unwritable { .. } | InitError::Unread(_) => Exit::Failed,
    }
}

/// Answers from prompts or flags, and the secrets that were typed.
#[derive(Default)]
pub(super) struct InitAnswers {
    pub(super) answers: StarterAnswers,
    pub(super) api_key: Option<Secret>,
    pub(super) smtp_password: Option<Secret>,
}

/// Writes all files or none; returns the lines to print.
fn write(target: &Path, args: &InitArgs) -> Result<Vec<String>, InitError> {
    if target.symlink_metadata().is_ok() && !args.force {
        return Err(InitError::Exists(target.to_owned()));
    }
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let trust = Trust::for_named().with_caller(sudo_uid()).for_found();
    trust.check_folder(folder).map_err(|Distrust { what, .. }| {
        let help =
            "create a folder of your own: `mkdir avatar-watch && cd avatar-watch`".to_owned();
        InitError::Distrusted { path: folder.to_owned(), distrust: Distrust { what, help } }
    })?;
    let no_flags = args.avatar.is_empty()
        && (&args.webhook, &args.email, &args.api_key_file) == (&None, &None, &None);
    let mut answers = if no_flags && is_interactive() {
        init_questions::ask(folder, args.base_url.as_deref()).map_err(|error| {
            match error.kind() {
                ErrorKind::Interrupted => InitError::Interrupted,
                _ => InitError::Unread(error),
            }
        })?
    } else {
        let api_key = match &args.api_key_file {
            Some(path) => SecretLocation::File(absolute(path)?),
            None => SecretLocation::Variable,
        };
        let base_url = args.base_url.as_deref();
        let list = || list_with_known_key(folder, args.api_key_file.as_deref(), base_url);
        let avatars = named_by_arguments(&args.avatar, list).map_err(InitError::NoAvatar)?;
        let host = args.smtp_host.as_deref();
        let (smtp_host, smtp_port) = host.map(host_and_port).unzip();
        let answers = StarterAnswers {
            api_key,
            base_url: args.base_url.clone(),
            avatars,
            webhook_url: args.webhook.as_deref().map(with_scheme),
            mail_to: args.email.clone(),
            smtp_host,
            smtp_port: smtp_port.flatten(),
            ..StarterAnswers::default()
        };
        InitAnswers { answers, ..InitAnswers::default() }
    };
    let mut secrets = SecretFiles::new(folder, trust);
    let kept = secrets.write_all(&mut answers).and_then(|()| {
        let config = write_temporary(folder, &answers.answers)?;
        let kept = if args.force { keep_old(target)? } else { None };
        let written = if args.force {
            config.persist(target).map_err(|failure| failure.error)
        } else {
            config.persist_noclobber(target).map_err(|failure| failure.error)
        };
        match written {
            Ok(_) => Ok(kept),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(InitError::Exists(target.to_owned()))
            }
            Err(source) => Err(InitError::Unwritable { path: target.to_owned(), source }),
        }
    });
    match kept {
        Ok(kept) => Ok(next_steps(target, kept.as_deref(), &secrets, &answers.answers)),
        Err(failure) => {
            secrets.undo();
            Err(failure)
        }
    }
}

struct SecretFiles<'a> {
    folder: &'a Path,
    trust: Trust,
    created: Vec<&'static str>,
    /// Files that existed already and are used unchanged.
    used: Vec<&'static str>,
    /// Where the old content of a replaced file is kept.
    replaced: Vec<(&'static str, PathBuf)>,
}

/// What becomes of an existing file of the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Used,
    Replaced,
}

impl SecretFiles<'_> {
    fn new(folder: &Path, trust: Trust) -> SecretFiles<'_> {
        let (created, used, replaced) = (Vec::new(), Vec::new(), Vec::new());
        SecretFiles { folder, trust, created, used, replaced }
    }

    /// Writes the known secrets into files and sets their locations in the answers.
    fn write_all(&mut self, answers: &mut InitAnswers) -> Result<(), InitError> {
        let InitAnswers { answers, api_key, smtp_password } = answers;
        if answers.api_key == SecretLocation::Variable {
            let key = api_key.as_ref().map(Secret::expose);
            answers.api_key = self.write(KEY_FILE, key, Existing::Replaced)?;
        }
        if let Some(url) = answers.webhook_url.as_deref() {
            if chat_of(url).is_some() {
                self.write(CHAT_FILE, Some(url), Existing::Replaced)?;
                answers.chat_file = Some(CHAT_FILE.to_owned());
            } else {
                // A receiver knows the existing one.
                let fresh = secret::fresh().map_err(|error| self.unwritable(SECRET_FILE, error))?;
                let secret = Some(fresh.reveal());
                answers.webhook_secret =
                    self.write(SECRET_FILE, secret.as_deref(), Existing::Used)?;
            }
        }
        if answers.mail_to.is_some() {
            let password = smtp_password.as_ref().map(Secret::expose);
            answers.smtp_password = self.write(PASSWORD_FILE, password, Existing::Replaced)?;
        }
        Ok(())
    }

    /// Writes the secret, if there is one. An existing file must be trusted.
    fn write(
        &mut self,
        name: &'static str,
        secret: Option<&str>,
        existing: Existing,
    ) -> Result<SecretLocation, InitError> {
        let path = self.folder.join(name);
        if let Ok(facts) = Facts::at(&path) {
            if let Err(distrust) = self.trust.check(&path, &facts).strict() {
                return Err(InitError::Distrusted { path, distrust });
            }
            match secret.filter(|_| existing == Existing::Replaced) {
                Some(secret) => self.replace(name, secret)?,
                None => self.used.push(name),
            }
            return Ok(SecretLocation::File(name.to_owned()));
        }
        let Some(secret) = secret else { return Ok(SecretLocation::Variable) };
        write::create(&path, format!("{secret}\n").as_bytes(), write::PRIVATE)
            .map_err(|source| self.unwritable(name, source))?;
        self.created.push(name);
        Ok(SecretLocation::File(name.to_owned()))
    }

    fn replace(&mut self, name: &'static str, secret: &str) -> Result<(), InitError> {
        let path = self.folder.join(name);
        let mut file = tempfile::NamedTempFile::new_in(self.folder)
            .map_err(|source| self.unwritable(name, source))?;
        file.write_all(format!("{secret}\n").as_bytes())
            .map_err(|source| self.unwritable(name, source))?;
        let old = keep_old(&path)?;
        file.persist(&path).map_err(|failure| self.unwritable(name, failure.error))?;
        match old {
            Some(old) => self.replaced.push((name, old)),
            None => self.created.push(name),
        }
        Ok(())
    }

    fn unwritable(&self, name: &str, source: io::Error) -> InitError {
        InitError::Unwritable { path: self.folder.join(name), source }
    }

    fn undo(self) {
        // A file that cannot be removed is one that the next `init` asks about.
        for name in self.created {
            drop(fs::remove_file(self.folder.join(name)));
        }
        for (name, old) in self.replaced {
            drop(fs::rename(old, self.folder.join(name)));
        }
    }
}

/// Writes the config to a temporary file and validates it, with placeholders for unset variables.
fn write_temporary(
    folder: &Path,
    answers: &StarterAnswers,
) -> Result<tempfile::NamedTempFile, InitError> {
    let unwritable = |source| InitError::Unwritable { path: folder.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(init_config(answers).as_bytes()).map_err(unwritable)?;
    if answers.smtp_host.is_none() && answers.mail_to.is_some() {
        // A placeholder is refused until the user has replaced it.
        let smtp_host = Some("mail.example.com".to_owned());
        write_temporary(folder, &StarterAnswers { smtp_host, ..answers.clone() })?;
        return Ok(file);
    }
    let secret = SigningSecret::from_random([0; FRESH_BYTES]).reveal();
    let set =
        [(KEY_VARIABLE, "set"), (PASSWORD_VARIABLE, "set"), (SECRET_VARIABLE, secret.as_str())];
    let environment = Environment::from_iter(set);
    load_config::load(&ConfigFile::named(file.path()), &environment)
        .map_err(InitError::Problems)?;
    Ok(file)
}

/// Links `target` to the first free name `….old`, `….old.1`, …; returns it.
fn keep_old(target: &Path) -> Result<Option<PathBuf>, InitError> {
    for number in 0..u32::MAX {
        let mut name = target.as_os_str().to_owned();
        name.push(if number == 0 { ".old".to_owned() } else { format!(".old.{number}") });
        let name = PathBuf::from(name);
        match fs::hard_link(target, &name) {
            Ok(()) => return Ok(Some(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(InitError::Unwritable { path: name, source }),
        }
    }
    Ok(None)
}

/// Lists the account with the key that the config will name.
fn list_with_known_key(
    folder: &Path,
    file: Option<&Path>,
    base_url: Option<&str>,
) -> Result<Vec<Avatar>, ListFailure> {
    let kept = folder.join(KEY_FILE);
    let source = match file {
        Some(file) => KeySource::File(file),
        None if kept.symlink_metadata().is_ok() => KeySource::File(&kept),
        None if std::env::var_os(KEY_VARIABLE).is_some() => KeySource::Variable,
        None => return Err(ListFailure::other(format!("`{KEY_VARIABLE}` is not set"))),
    };
    list_avatars(&account_of_key(source, &Environment::from_process(), base_url)?)
}

/// The default account with that key.
pub(super) fn account_of_key(
    key: KeySource<'_>,
    environment: &Environment,
    base_url: Option<&str>,
) -> Result<AccountSettings, ListFailure> {
    let mut settings = settings_of_key(key, environment, base_url).map_err(|problems| {
        let texts = problems.iter().map(|it| format!("`{}` {}", it.key, it.message));
        ListFailure::other(texts.collect::<Vec<_>>().join("; "))
    })?;
    let account = settings.accounts.remove(&AccountName::default());
    account.ok_or_else(|| ListFailure::other("there is no account"))
}

/// The URL of a known chat may be written without its scheme.
pub(super) fn with_scheme(url: &str) -> String {
    let whole = format!("https://{url}");
    if !url.contains("://") && chat_of(&whole).is_some() { whole } else { url.to_owned() }
}

/// The host and the port of a text like `mail.example.com:465`; a config explains what is invalid.
pub(super) fn host_and_port(text: &str) -> (String, Option<u16>) {
    let (host, port) = host::with_port(text).unwrap_or((text, None));
    (host.to_owned(), port)
}

fn sudo_uid() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

fn absolute(path: &Path) -> Result<String, InitError> {
    let path = std::path::absolute(path).map_err(InitError::Unread)?;
    Ok(path.to_string_lossy().into_owned())
}

fn next_steps(
    target: &Path,
    kept: Option<&Path>,
    secrets: &SecretFiles<'_>,
    answers: &StarterAnswers,
) -> Vec<String> {
    let shown = |path: &Path| sanitize(&path.to_string_lossy());
    let mut steps = vec![format!("Wrote `{}`.", shown(target))];
    steps.extend(kept.map(|kept| format!("The old config is kept as `{}`.", shown(kept))));
    let what = |name: &str| match name {
        SECRET_FILE => "the secret of the webhook, which its receiver needs too",
        CHAT_FILE => "the URL of the chat, which is a secret",
        _ => "the secret that you typed",
    };
    for name in &secrets.created {
        let path = shown(&target.with_file_name(name));
        steps.push(format!("Wrote `{path}`, readable only by you: {}.", what(name)));
    }
    for (name, old) in &secrets.replaced {
        let (path, old) = (shown(&target.with_file_name(name)), shown(old));
        steps.push(format!("Replaced `{path}`: {}. The old one is kept as `{old}`.", what(name)));
    }
    for name in &secrets.used {
        let path = shown(&target.with_file_name(name));
        steps.push(format!("`{path}` existed already and is used unchanged."));
    }
    steps.push("Next:".to_owned());
    if answers.avatars.is_empty() {
        steps.push("  add the id of your avatar to the config".to_owned());
    }
    if answers.mail_to.is_some() && answers.smtp_host.is_none() {
        steps.push("  add the name of your SMTP server to the config".to_owned());
    }
    let locations = [
        (&answers.api_key, KEY_VARIABLE, true),
        (&answers.smtp_password, PASSWORD_VARIABLE, answers.mail_to.is_some()),
    ];
    for (location, variable, used) in locations {
        if used && *location == SecretLocation::Variable && std::env::var_os(variable).is_none() {
            steps.push(format!("  export {variable}=…"));
        }
    }
    let named = Some(target).filter(|target| *target != Path::new(DEFAULT_PATH));
    steps.push(format!("  {}", command_line(named, "check --online")));
    steps
}

const DEFAULT_PATH: &str = "avatar-watch.toml";
pub(super) const KEY_FILE: &str = "argil-api-key";
const SECRET_FILE: &str = "webhook-secret";
const CHAT_FILE: &str = "chat-url";
pub(super) const PASSWORD_FILE: &str = "smtp-password";
