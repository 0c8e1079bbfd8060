//! Settings without a config file: the default account with its key from the environment, and every
//! default.

use std::path::Path;

use toml::Value;

use crate::config::environment::Environment;
use crate::config::error::Problem;
use crate::config::file;
use crate::config::parse::document::FileAccess;
use crate::config::settings::Settings;
use crate::text::secret_input::{SecretKind, clean};

pub(crate) const KEY_VARIABLE: &str = "ARGIL_API_KEY";

/// The settings for the API at `base_url`, or at its default URL.
pub(crate) fn from_env(
    environment: &Environment,
    base_url: Option<&str>,
) -> Result<Settings, Vec<Problem>> {
    let value = environment.var(KEY_VARIABLE).unwrap_or_default();
    if let Err(fault) = clean(value, SecretKind::Key) {
        let problem = Problem::of_file(NO_FILE, fault.to_string(), fault.help());
        return Err(vec![Problem { key: KEY_VARIABLE.to_owned(), ..problem }]);
    }
    settings_of_key(KeySource::Variable, environment, base_url)
}

/// Where the key of the default account is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySource<'a> {
    /// In [`KEY_VARIABLE`].
    Variable,
    /// In a file, which must be as trusted as any file of a config.
    File(&'a Path),
}

/// The settings with that key, for the API at `base_url`, or at its default URL.
pub(crate) fn settings_of_key(
    key: KeySource<'_>,
    environment: &Environment,
    base_url: Option<&str>,
) -> Result<Settings, Vec<Problem>> {
    let quoted = |text: &str| Value::String(text.to_owned());
    let source = match key {
        KeySource::Variable => format!("env = {}", quoted(KEY_VARIABLE)),
        KeySource::File(path) => format!("file = {}", quoted(&path.to_string_lossy())),
    };
    let base_url = base_url.map(|url| format!("base_url = {}\n", quoted(url))).unwrap_or_default();
    let text = format!("[argil]\napi_key = {{ {source} }}\n{base_url}");
    file::read_text(Path::new(NO_FILE), &text, FileAccess::Owner, environment)
}

const NO_FILE: &str = "without a config";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::AccountName;

    fn environment(key: &str) -> Environment {
        Environment::from_iter([(KEY_VARIABLE, key)])
    }

    #[test]
    fn a_key_is_all_it_takes() {
        let settings = from_env(&environment("\u{feff}key\r\n"), None).unwrap();
        let account = &settings.accounts[&AccountName::default()];
        assert_eq!(account.api_key.expose(), "key");
        assert_eq!(account.base_url.scheme(), "https");
        let elsewhere = from_env(&environment("key"), Some("http://127.0.0.1:9/v1")).unwrap();
        let account = &elsewhere.accounts[&AccountName::default()];
        assert_eq!(account.base_url.as_str(), "http://127.0.0.1:9/v1");
    }

    #[test]
    fn what_is_wrong_names_its_key() {
        let check = |environment: Environment, base_url: &str, expected: &str| {
            let problems = from_env(&environment, Some(base_url)).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(problem.key.starts_with(expected), "{problem}");
        };
        check(Environment::default(), "https://example.com", KEY_VARIABLE);
        check(environment("two words\n"), "https://example.com", KEY_VARIABLE);
        check(environment(" \n"), "https://example.com", KEY_VARIABLE);
        check(environment("key"), "http://example.com", "argil.base_url");
        check(environment("key"), "a\"b\nc", "argil.base_url");
    }
}
