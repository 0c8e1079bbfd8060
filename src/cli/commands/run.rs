//! `avatar-watch run`: runs the daemon in the foreground.

use std::io::ErrorKind;
use std::path::Path;

use tracing::error;

use crate::cli::args::{LogFormatArg, RunArgs, name};
use crate::cli::commands::check::print_problems;
use crate::cli::exit::Exit;
use crate::cli::locations::config_path;
use crate::cli::output::{causes, print_failure, print_help, store_exit, store_help};
use crate::cli::runtime::block_on;
use crate::config::error::ConfigError;
use crate::daemon::background::shortage;
use crate::daemon::error::DaemonError;
use crate::daemon::supervision::service::{ServiceError, serve};
use crate::telemetry::init::{self, LogFormat};

pub(crate) fn run(config: Option<&Path>, args: &RunArgs) -> Exit {
    let format = match args.log_format {
        LogFormatArg::Human => LogFormat::Human,
        LogFormatArg::Json => LogFormat::Json,
    };
    let starting = |source| DaemonError::System { doing: "starting", source };
    if let Err(source) = init::init(&name(&args.log_level), format) {
        return print_daemon_error(&starting(source));
    }
    let served = shortage::probe().and_then(|()| block_on(serve(&config_path(config))));
    let result = served.map_err(starting).unwrap_or_else(|error| Err(error.into()));
    if let (Err(failure), LogFormat::Json) = (&result, format) {
        return log_error(failure);
    }
    match result {
        Ok(()) => Exit::Ok,
        Err(ServiceError::Config(error)) => {
            print_problems(&error);
            config_exit(&error)
        }
        Err(ServiceError::Daemon(error)) => print_daemon_error(&error),
    }
}

fn print_daemon_error(error: &DaemonError) -> Exit {
    print_failure(error);
    help(error).into_iter().for_each(print_help);
    daemon_exit(error)
}

fn help(error: &DaemonError) -> Option<&str> {
    match error {
        DaemonError::Store(error) => store_help(error),
        DaemonError::System { source, .. } | DaemonError::Listen { source, .. } => {
            shortage::help(source)
        }
        _ => None,
    }
}

/// Logs the final error instead of printing it, so that every line of the log is JSON.
fn log_error(failure: &ServiceError) -> Exit {
    if let ServiceError::Config(ConfigError::Problems(problems)) = failure {
        problems.iter().for_each(|problem| error!("{}", problem.one_line()));
    } else {
        let mut causes = causes(failure);
        if let ServiceError::Daemon(error) = failure {
            causes.extend(help(error).map(str::to_owned));
        }
        error!("{}", causes.join(": "));
    }
    match failure {
        ServiceError::Config(error) => config_exit(error),
        ServiceError::Daemon(error) => daemon_exit(error),
    }
}

/// `EX_CONFIG` only for errors that need an edit of the config: systemd does not restart on it.
fn config_exit(error: &ConfigError) -> Exit {
    match error {
        // A missing config has to be written first.
        ConfigError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
            Exit::Config
        }
        error if error.is_transient() => Exit::TempFail,
        ConfigError::Unreadable { .. } | ConfigError::Problems(_) => Exit::Config,
    }
}

fn daemon_exit(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Store(error) => store_exit(error),
        DaemonError::System { .. } | DaemonError::Listen { .. } if error.is_transient() => {
            Exit::TempFail
        }
        DaemonError::Argil(_)
        | DaemonError::Channel { .. }
        | DaemonError::Heartbeat(_)
        | DaemonError::Listen { .. }
        | DaemonError::StoreMoved
        | DaemonError::ConfigEmptied(_) => Exit::Config,
        DaemonError::System { .. } => Exit::Disk,
        DaemonError::LoopEnded(_) => Exit::Software,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::StoreError;

    #[test]
    fn a_panicked_task_is_an_internal_error() {
        for name in ["poller", "loop", "web server"] {
            assert_eq!(daemon_exit(&DaemonError::LoopEnded(name)), Exit::Software);
        }
        assert_eq!(daemon_exit(&DaemonError::Store(StoreError::Stopped)), Exit::Software);
        assert_eq!(Exit::Software.code(), 70);
    }

    #[test]
    fn only_errors_that_need_an_edit_of_the_config_are_final() {
        let check = |code: i32, at_start: Exit, at_listening: Exit| {
            let source = || std::io::Error::from_raw_os_error(code);
            let system = DaemonError::System { doing: "starting", source: source() };
            let address = "127.0.0.1:1".parse().unwrap();
            let listen = DaemonError::Listen { address, source: source() };
            assert_eq!((daemon_exit(&system), daemon_exit(&listen)), (at_start, at_listening));
        };
        // EAGAIN, ENOMEM, ENFILE, EMFILE, EADDRINUSE, EADDRNOTAVAIL, EACCES, EIO
        for code in [11, 12, 23, 24] {
            check(code, Exit::TempFail, Exit::TempFail);
        }
        for code in [98, 99] {
            check(code, Exit::Disk, Exit::TempFail);
        }
        check(13, Exit::Disk, Exit::Config);
        check(5, Exit::Disk, Exit::TempFail);
    }
}
