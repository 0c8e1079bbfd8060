//! `avatar-watch init`: writes a valid starter config. An existing file is never lost.
//!
//! Secrets are not written into the config: the generated webhook secret and secrets that the
//! user types go to files beside it that only the owner can read. Existing secret files are used
//! unchanged; `init` fails when another user could have written one, or can write to the folder.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::args::InitArgs;
use crate::cli::command_line::command_line;
use crate::cli::commands::{init_questions, secret};
use crate::cli::exit::Exit;
use crate::cli::output::{line, print_error, print_help};
use crate::cli::prompt::is_interactive;
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::from_env::KEY_VARIABLE;
use crate::config::init_template::{
    PASSWORD_VARIABLE, SECRET_VARIABLE, SecretLocation, StarterAnswers, StarterAvatar, chat_of,
    init_config,
};
use crate::daemon::config::load_config;
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
        let answers = StarterAnswers {
            api_key,
            base_url: args.base_url.clone(),
            avatars: args.avatar.iter().map(|id| starter_avatar(id)).collect(),
            webhook_url: args.webhook.clone(),
            mail_to: args.email.clone(),
            smtp_host: args.smtp_host.clone(),
            ..StarterAnswers::default()
        };
        InitAnswers { answers, ..InitAnswers::default() }
    };
    let mut secrets = SecretFiles { folder, trust, created: Vec::new() };
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
        Ok(kept) => Ok(next_steps(target, kept.as_deref(), &secrets.created, &answers.answers)),
        Err(failure) => {
            secrets.remove_created();
            Err(failure)
        }
    }
}

struct SecretFiles<'a> {
    folder: &'a Path,
    trust: Trust,
    created: Vec<&'static str>,
}

impl SecretFiles<'_> {
    /// Writes the known secrets into files and sets their locations in the answers.
    fn write_all(&mut self, answers: &mut InitAnswers) -> Result<(), InitError> {
        let InitAnswers { answers, api_key, smtp_password } = answers;
        if answers.api_key == SecretLocation::Variable {
            answers.api_key = self.write(KEY_FILE, api_key.as_ref().map(Secret::expose))?;
        }
        if answers.webhook_url.as_deref().is_some_and(|url| chat_of(url).is_none()) {
            let secret = secret::fresh().map_err(|error| self.unwritable(SECRET_FILE, error))?;
            answers.webhook_secret = self.write(SECRET_FILE, Some(&secret.reveal()))?;
        }
        if answers.mail_to.is_some() {
            let password = smtp_password.as_ref().map(Secret::expose);
            answers.smtp_password = self.write(PASSWORD_FILE, password)?;
        }
        Ok(())
    }

    /// Uses an existing file if it is trusted; else writes the secret, if there is one.
    fn write(
        &mut self,
        name: &'static str,
        secret: Option<&str>,
    ) -> Result<SecretLocation, InitError> {
        let path = self.folder.join(name);
        if let Ok(facts) = Facts::at(&path) {
            return match self.trust.check(&path, &facts).strict() {
                Ok(()) => Ok(SecretLocation::File(name.to_owned())),
                Err(distrust) => Err(InitError::Distrusted { path, distrust }),
            };
        }
        let Some(secret) = secret else { return Ok(SecretLocation::Variable) };
        write::create(&path, format!("{secret}\n").as_bytes(), write::PRIVATE)
            .map_err(|source| self.unwritable(name, source))?;
        self.created.push(name);
        Ok(SecretLocation::File(name.to_owned()))
    }

    fn unwritable(&self, name: &str, source: io::Error) -> InitError {
        InitError::Unwritable { path: self.folder.join(name), source }
    }

    fn remove_created(self) {
        for name in self.created {
            // A file that cannot be removed is used by the next `init`.
            drop(fs::remove_file(self.folder.join(name)));
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

fn starter_avatar(id: &str) -> StarterAvatar {
    StarterAvatar { id: id.to_owned(), name: None }
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
    created: &[&str],
    answers: &StarterAnswers,
) -> Vec<String> {
    let shown = |path: &Path| sanitize(&path.to_string_lossy());
    let mut steps = vec![format!("Wrote `{}`.", shown(target))];
    steps.extend(kept.map(|kept| format!("The old config is kept as `{}`.", shown(kept))));
    for name in created {
        let path = shown(&target.with_file_name(name));
        let what = if *name == SECRET_FILE {
            "the secret of the webhook, which its receiver needs too"
        } else {
            "the secret that you typed"
        };
        steps.push(format!("Wrote `{path}`, readable only by you: {what}."));
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
pub(super) const PASSWORD_FILE: &str = "smtp-password";
