//! One test again, in a process of its own, where the environment is another.

use std::process::{Command, Output};

/// Runs the test of that whole name again, in a process with other variables. `None` in that
/// process.
pub(crate) fn in_child(test: &str, variables: &[(&str, &str)]) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    Some(command.envs(variables.iter().copied()).output().unwrap())
}

const CHILD: &str = "AVATAR_WATCH_TEST_CHILD";
