//! The config file, how it was chosen, and whether it is trusted.

use std::path::{Path, PathBuf};

use crate::config::environment::Environment;
use crate::config::error::Problem;
use crate::files::trust::{Distrust, Facts, Ownership, Trust};

/// A config file, and how it was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, absolute or from the working folder.
    pub(crate) path: PathBuf,
    is_found: bool,
}

impl ConfigFile {
    /// A config that was named explicitly, or is in the system's default location.
    pub fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_found: false }
    }

    /// A config in the working folder, which any user may have created.
    pub(crate) fn found(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_found: true }
    }

    /// The trusted owners of the files that this config names, with a warning when root trusts
    /// another user. Fails when another user may have written the config.
    pub(super) fn admit(
        &self,
        facts: &Facts,
        environment: &Environment,
    ) -> Result<(Trust, Option<Problem>), Problem> {
        let caller =
            environment.var("SUDO_UID").and_then(|it| str::from_utf8(it).ok()?.parse().ok());
        let named = Trust::for_named().with_caller(caller);
        let trust = if self.is_found { named.clone().for_found() } else { named.clone() };
        let doubt = match trust.check_named(&self.path, facts) {
            Ownership::Trusted => None,
            Ownership::Doubtful(distrust) => Some(self.problem(distrust)),
            Ownership::Distrusted(distrust) => return Err(self.refused(distrust, facts)),
        };
        if self.is_found {
            trust.check_folder(self.folder()).map_err(|Distrust { what, help }| {
                let folder = std::path::absolute(self.folder()).unwrap_or_default();
                let what = format!("was found in the folder `{}`, which {what}", folder.display());
                self.refused(Distrust { what, help }, facts)
            })?;
        }
        Ok((named.with_owner(facts.uid), doubt))
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."))
    }

    fn refused(&self, distrust: Distrust, facts: &Facts) -> Problem {
        let Distrust { what, help } = distrust;
        let help = match Trust::for_named().check_named(&self.path, facts) {
            Ownership::Distrusted(_) => help,
            Ownership::Trusted | Ownership::Doubtful(_) => format!(
                "check its content, and name it explicitly if you trust it: `--config {}`",
                self.path.display()
            ),
        };
        self.problem(Distrust { what, help })
    }

    fn problem(&self, Distrust { what, help }: Distrust) -> Problem {
        Problem::of_file(&self.path, what, help)
    }
}

#[cfg(test)]
#[path = "config_file_trust_tests.rs"]
mod tests;
