//! Unix signals. The only file that uses signal-hook.

use std::fmt;

use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals as SignalStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceSignal {
    /// `SIGHUP`: reload the config.
    Reload,
    /// `SIGTERM`, `SIGINT`: stop.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// `SIGINT`, as Ctrl-C sends it.
    Interrupt,
    Terminate,
}

/// Receives the stop signals of this process; the others keep their default effect.
pub(crate) struct Stops {
    stream: SignalStream,
}

/// Receives the signals of this process. Stop signals have a stream of their own, so that reloads
/// cannot delay them.
pub(crate) struct Signals {
    stops: Stops,
    reloads: SignalStream,
}

impl fmt::Debug for Stops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stops")
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

impl Stops {
    pub(crate) fn take() -> std::io::Result<Self> {
        Ok(Self { stream: SignalStream::new([SIGINT, SIGTERM])? })
    }

    pub(crate) async fn next(&mut self) -> StopSignal {
        match self.stream.next().await {
            Some(SIGINT) => StopSignal::Interrupt,
            Some(_) => StopSignal::Terminate,
            None => std::future::pending().await,
        }
    }
}

impl Signals {
    pub(crate) fn take() -> std::io::Result<Self> {
        Ok(Self { stops: Stops::take()?, reloads: SignalStream::new([SIGHUP])? })
    }

    /// The next request; a stop goes first.
    pub(crate) async fn next(&mut self) -> ServiceSignal {
        tokio::select! {
            biased;
            _ = self.stops.next() => ServiceSignal::Stop,
            Some(_) = self.reloads.next() => ServiceSignal::Reload,
        }
    }

    /// Waits for a stop request; ignores reload requests.
    pub(crate) async fn next_stop(&mut self) {
        self.stops.next().await;
    }
}
