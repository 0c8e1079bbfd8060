//! `avatar-watch run`: the daemon in the foreground.

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use tracing::error;

use crate::cli::args::{LogLook, RunArgs};
use crate::cli::check::complain_of_config;
use crate::cli::config_path::config_path;
use crate::cli::exit::Exit;
use crate::cli::output::{complain_of, complain_of_store, store_exit};
use crate::cli::runtime::block_on;
use crate::config::error::ConfigError;
use crate::daemon::error::DaemonError;
use crate::daemon::service::{ServiceError, serve};
use crate::telemetry::log::{self, LogFormat};

/// Runs until ordered to stop.
pub fn run(config: Option<&Path>, args: &RunArgs) -> Exit {
    let format = match args.log_format {
        LogLook::Human => LogFormat::Human,
        LogLook::Json => LogFormat::Json,
    };
    let served = log::start(args.log_level.name(), format)
        .and_then(|()| block_on(serve(&config_path(config))))
        .map_err(|source| DaemonError::System { doing: "starting", source });
    let result = served.unwrap_or_else(|error| Err(error.into()));
    if let (Err(failure), LogFormat::Json) = (&result, format) {
        return say_in_log(failure);
    }
    match result {
        Ok(()) => Exit::Good,
        Err(ServiceError::Config(error)) => {
            complain_of_config(&error);
            Exit::Config
        }
        Err(ServiceError::Daemon(DaemonError::Store(error))) => complain_of_store(&error),
        Err(ServiceError::Daemon(error)) => {
            complain_of(&error);
            daemon_exit(&error)
        }
    }
}

/// Says why the daemon ends as lines of the log, so that each line of it is JSON to the end.
fn say_in_log(failure: &ServiceError) -> Exit {
    if let ServiceError::Config(ConfigError::Problems(problems)) = failure {
        for problem in problems {
            error!("{}", problem.to_string().replace("\n  help: ", "; "));
        }
    } else {
        let mut causes = vec![failure.to_string()];
        let mut cause = failure.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        error!("{}", causes.join(": "));
    }
    match failure {
        ServiceError::Config(_) => Exit::Config,
        ServiceError::Daemon(error) => daemon_exit(error),
    }
}

fn daemon_exit(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Store(error) => store_exit(error),
        // Another program may leave, and an address come up with its network.
        DaemonError::Listen { source, .. }
            if matches!(source.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) =>
        {
            Exit::Held
        }
        DaemonError::Argil(_)
        | DaemonError::Channel { .. }
        | DaemonError::Heartbeat(_)
        | DaemonError::Listen { .. }
        | DaemonError::StoreMoved => Exit::Config,
        DaemonError::System { .. } => Exit::Disk,
        DaemonError::LoopEnded(_) => Exit::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::StoreError;

    #[test]
    fn whatever_breaks_off_ends_the_process_as_a_bug() {
        for name in ["poller", "loop", "web server"] {
            assert_eq!(daemon_exit(&DaemonError::LoopEnded(name)), Exit::Bug);
        }
        assert_eq!(daemon_exit(&DaemonError::Store(StoreError::Stopped)), Exit::Bug);
        assert_eq!(Exit::Bug.code(), 70);
    }
}
