//! Unix signals. The only file that uses signal-hook.

use std::fmt;

use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals as SignalStream;

/// Request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceSignal {
    /// `SIGHUP`: reload the config.
    Reload,
    /// `SIGTERM`, `SIGINT`: stop.
    Stop,
}

/// A signal that requests a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGINT`, as Ctrl-C sends it.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

/// Receives the stop signals of this process; the others keep their default effect.
pub struct Stops {
    stream: SignalStream,
}

/// Receives the signals of this process. Stop signals have a stream of their own, so that reloads
/// cannot delay them.
pub struct Signals {
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
    /// Replaces the default handlers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self { stream: SignalStream::new([SIGINT, SIGTERM])? })
    }

    /// The next signal.
    pub async fn next(&mut self) -> StopSignal {
        match self.stream.next().await {
            Some(SIGINT) => StopSignal::Interrupt,
            Some(_) => StopSignal::Terminate,
            None => std::future::pending().await,
        }
    }
}

impl Signals {
    /// Replaces the default handlers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self { stops: Stops::take()?, reloads: SignalStream::new([SIGHUP])? })
    }

    /// The next request; a stop goes first.
    pub async fn next(&mut self) -> ServiceSignal {
        tokio::select! {
            biased;
            _ = self.stops.next() => ServiceSignal::Stop,
            Some(_) = self.reloads.next() => ServiceSignal::Reload,
        }
    }

    /// Waits for a stop request; ignores reload requests.
    pub async fn next_stop(&mut self) {
        self.stops.next().await;
    }
}
