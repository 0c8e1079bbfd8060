//! `avatar-watch init`: writes a starter config that is good as it is; never over another file
//! without keeping that.
//!
//! No secret stands in the config: a fresh one for the webhook, and what was typed, are in files
//! beside it that only their owner can read. Such a file that is there is used, and never changed,
//! unless somebody else can have written it. Nothing is written into a folder of others.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::args::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::output::{line, print_error};
use crate::cli::paths::command_line;
use crate::cli::prompt::{Asker, someone_is_there};
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::init_template::{
    KEY_VARIABLE, PASSWORD_VARIABLE, SECRET_VARIABLE, SecretLocation, StarterAnswers, init_config,
};
use crate::config::location::ConfigFile;
use crate::config::parse::host;
use crate::daemon::load_config;
use crate::domain::avatar::AvatarId;
use crate::domain::mail::address::MailAddress;
use crate::files::trust::{Distrust, Facts, Trust};
use crate::files::write;
use crate::secret::Secret;
use crate::signing_secret::{FRESH_BYTES, SigningSecret};
use crate::text::sanitize::sanitize;
use crate::text::secret_text::SecretKind;

/// Writes the config.
pub fn init(config: Option<&Path>, args: &InitArgs) -> Exit {
    let target = args.output.as_deref().or(config).unwrap_or(Path::new(DEFAULT_PATH));
    match write(target, args) {
        Ok(steps) => {
            steps.iter().for_each(|step| line(step));
            Exit::Good
        }
        Err(failure) => tell(&failure),
    }
}

/// Why no config was written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("there is `{}` already", sanitize(&.0.to_string_lossy()))]
    Exists(PathBuf),
    #[error("nothing was written")]
    Interrupted,
    #[error("`{}` cannot be written: {source}", sanitize(&.path.to_string_lossy()))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("`{}` {}", sanitize(&.path.to_string_lossy()), .distrust.what)]
    Distrusted { path: PathBuf, distrust: Distrust },
    #[error("no answer can be read: {0}")]
    Unread(io::Error),
    #[error("an answer is no good")]
    Problems(ConfigError),
}

fn tell(failure: &InitError) -> Exit {
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
            print_error("  help: `--output PATH` names another, `--force` keeps it as `….old`");
            Exit::Bad
        }
        InitError::Distrusted { distrust, .. } => {
            print_error(&format!("  help: {}", distrust.help));
            Exit::Bad
        }
        InitError::Interrupted => Exit::Interrupted,
        InitError::Problems(_) => Exit::Problems,
        InitError::Unwritable { .. } | InitError::Unread(_) => Exit::Bad,
    }
}

/// What was asked or said.
#[derive(Default)]
struct InitAnswers {
    answers: StarterAnswers,
    api_key: Option<Secret>,
    smtp_password: Option<Secret>,
}

/// Writes everything or nothing; what to do next.
fn write(target: &Path, args: &InitArgs) -> Result<Vec<String>, InitError> {
    if target.symlink_metadata().is_ok() && !args.force {
        return Err(InitError::Exists(target.to_owned()));
    }
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let trust = Trust::for_named().with_caller(sudo_uid()).for_found();
    trust.judge_folder(folder).map_err(|Distrust { what, .. }| {
        let help = "make one of your own: `mkdir avatar-watch && cd avatar-watch`".to_owned();
        InitError::Distrusted { path: folder.to_owned(), distrust: Distrust { what, help } }
    })?;
    let silent = args.avatar.is_empty()
        && (&args.webhook, &args.email, &args.api_key_file) == (&None, &None, &None);
    let mut wishes = if silent && someone_is_there() {
        ask(folder)?
    } else {
        let api_key = match &args.api_key_file {
            Some(path) => SecretLocation::File(absolute(path)?),
            None => SecretLocation::Variable,
        };
        let answers = StarterAnswers {
            api_key,
            avatars: args.avatar.clone(),
            webhook_url: args.webhook.clone(),
            mail_to: args.email.clone(),
            smtp_host: args.smtp_host.clone(),
            ..StarterAnswers::default()
        };
        InitAnswers { answers, ..InitAnswers::default() }
    };
    let mut secrets = Secrets { folder, trust, made: Vec::new() };
    let kept = secrets.place_all(&mut wishes).and_then(|()| {
        let fresh = fresh_config(folder, &wishes.answers)?;
        let kept = if args.force { keep_old(target)? } else { None };
        let written = if args.force {
            fresh.persist(target).map_err(|failure| failure.error)
        } else {
            fresh.persist_noclobber(target).map_err(|failure| failure.error)
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
        Ok(kept) => Ok(next_steps(target, kept.as_deref(), &secrets.made, &wishes.answers)),
        Err(failure) => {
            secrets.take_back();
            Err(failure)
        }
    }
}

/// The files of secrets beside a config.
struct Secrets<'a> {
    folder: &'a Path,
    trust: Trust,
    made: Vec<&'static str>,
}

impl Secrets<'_> {
    /// Puts what is known of secrets into files, and says so in the answers.
    fn place_all(&mut self, wishes: &mut InitAnswers) -> Result<(), InitError> {
        let InitAnswers { answers, api_key, smtp_password } = wishes;
        if answers.api_key == SecretLocation::Variable {
            answers.api_key = self.place(KEY_FILE, api_key.as_ref().map(Secret::expose))?;
        }
        if answers.webhook_url.is_some() {
            let mut bytes = [0; FRESH_BYTES];
            let drawn = getrandom::fill(&mut bytes);
            drawn.map_err(|error| self.unwritable(SECRET_FILE, error.into()))?;
            let secret = SigningSecret::from_random(bytes).reveal();
            answers.webhook_secret = self.place(SECRET_FILE, Some(&secret))?;
        }
        if answers.mail_to.is_some() {
            let password = smtp_password.as_ref().map(Secret::expose);
            answers.smtp_password = self.place(PASSWORD_FILE, password)?;
        }
        Ok(())
    }

    fn place(
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
        self.made.push(name);
        Ok(SecretLocation::File(name.to_owned()))
    }

    fn unwritable(&self, name: &str, source: io::Error) -> InitError {
        InitError::Unwritable { path: self.folder.join(name), source }
    }

    fn take_back(self) {
        for name in self.made {
            // What stays is used by the next try.
            drop(fs::remove_file(self.folder.join(name)));
        }
    }
}

/// A config beside its place, found good but for the variables that are not set yet.
fn fresh_config(
    folder: &Path,
    answers: &StarterAnswers,
) -> Result<tempfile::NamedTempFile, InitError> {
    let unwritable = |source| InitError::Unwritable { path: folder.to_owned(), source };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(init_config(answers).as_bytes()).map_err(unwritable)?;
    let set = [KEY_VARIABLE, PASSWORD_VARIABLE].map(|name| (name.to_owned(), "set".to_owned()));
    let secret = SigningSecret::from_random([0; FRESH_BYTES]).reveal();
    let environment: Environment =
        set.into_iter().chain([(SECRET_VARIABLE.to_owned(), secret)]).collect();
    load_config::load(&ConfigFile::named(file.path()), &environment)
        .map_err(InitError::Problems)?;
    Ok(file)
}

/// Keeps what is at `target` under the first name that is free; that name.
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

/// Asks for everything that is not known.
fn ask(folder: &Path) -> Result<InitAnswers, InitError> {
    let ended = |error: io::Error| match error.kind() {
        ErrorKind::Interrupted => InitError::Interrupted,
        _ => InitError::Unread(error),
    };
    let asker = Asker::new().map_err(InitError::Unread)?;
    let mut wishes = InitAnswers::default();
    let known = std::env::var_os(KEY_VARIABLE).is_some() || folder.join(KEY_FILE).exists();
    if !known {
        let question = format!(
            "The API key, from app.argil.ai (not shown; Enter: it will be in {KEY_VARIABLE})"
        );
        wishes.api_key = asker.ask_secret(&question, SecretKind::Key).map_err(ended)?;
    }
    let ids = |text: &str| -> Result<(), String> {
        text.split_whitespace().try_for_each(|id| match AvatarId::parse(id) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
    };
    let avatars =
        asker.ask("The ids of the avatars, with blanks between them", ids).map_err(ended)?;
    let url = asker.ask("A webhook to tell, https://… (Enter: none)", |text| {
        let known = text.starts_with("https://") || text.starts_with("http://");
        if known { Ok(()) } else { Err("it begins with `https://`".to_owned()) }
    });
    let url = url.map_err(ended)?;
    let address =
        |text: &str| MailAddress::parse(text).map(drop).map_err(|wrong| format!("it {wrong}"));
    let mail = asker.ask("A mailbox to tell (Enter: none)", address).map_err(ended)?;
    if !mail.is_empty() {
        let host = asker.ask("Its mail server, as smtp.example.com", |text| {
            let no_host = || "it is a name or an address alone, without a port".to_owned();
            if host::is_host(text) { Ok(()) } else { Err(no_host()) }
        });
        let host = host.map_err(ended)?;
        wishes.answers.smtp_host = given(host);
        if !folder.join(PASSWORD_FILE).exists() {
            let question = format!(
                "The password of {mail} there (not shown; Enter: it will be in {PASSWORD_VARIABLE})"
            );
            let kind = SecretKind::Password;
            wishes.smtp_password = asker.ask_secret(&question, kind).map_err(ended)?;
        }
    }
    wishes.answers.avatars = avatars.split_whitespace().map(str::to_owned).collect();
    wishes.answers.webhook_url = given(url);
    wishes.answers.mail_to = given(mail);
    Ok(wishes)
}

/// Who called `sudo`, if anybody did.
fn sudo_uid() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

fn given(answer: String) -> Option<String> {
    (!answer.is_empty()).then_some(answer)
}

fn absolute(path: &Path) -> Result<String, InitError> {
    let path = std::path::absolute(path).map_err(InitError::Unread)?;
    Ok(path.to_string_lossy().into_owned())
}

fn next_steps(
    target: &Path,
    kept: Option<&Path>,
    made: &[&str],
    answers: &StarterAnswers,
) -> Vec<String> {
    let shown = |path: &Path| sanitize(&path.to_string_lossy());
    let mut steps = vec![format!("Wrote `{}`.", shown(target))];
    steps.extend(kept.map(|kept| format!("The old one is kept as `{}`.", shown(kept))));
    for name in made {
        let path = shown(&target.with_file_name(name));
        let what = if *name == SECRET_FILE {
            "the secret of the webhook: its receiver needs it, too"
        } else {
            "as you typed it"
        };
        steps.push(format!("Wrote `{path}`, which only you can read: {what}."));
    }
    steps.push("Next:".to_owned());
    if answers.avatars.is_empty() {
        steps.push("  put the id of your avatar into it".to_owned());
    }
    if answers.mail_to.is_some() && answers.smtp_host.is_none() {
        steps.push("  put the name of your mail server into it".to_owned());
    }
    let places = [
        (&answers.api_key, KEY_VARIABLE, true),
        (&answers.smtp_password, PASSWORD_VARIABLE, answers.mail_to.is_some()),
    ];
    for (place, variable, used) in places {
        if used && *place == SecretLocation::Variable && std::env::var_os(variable).is_none() {
            steps.push(format!("  export {variable}=…"));
        }
    }
    let named = Some(target).filter(|target| *target != Path::new(DEFAULT_PATH));
    steps.push(format!("  {}", command_line(named, "check --online")));
    steps
}

const DEFAULT_PATH: &str = "avatar-watch.toml";
const KEY_FILE: &str = "argil-api-key";
const SECRET_FILE: &str = "webhook-secret";
const PASSWORD_FILE: &str = "smtp-password";
