//! Signals as orders. The one home of signal-hook.

use std::fmt;

use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals as SignalStream;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceSignal {
    /// `SIGHUP`: read the config again.
    Reload,
    /// `SIGTERM`, `SIGINT`: stop.
    Stop,
}

/// A signal that asks to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGINT`, as Ctrl-C sends it.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

/// The signals to stop that are sent to this process, from now on. All others keep their usual
/// effect.
pub struct Stops {
    stream: SignalStream,
}

/// The signals sent to this process, from now on. Stops have a stream of their own, so that no
/// storm of reloads can keep one waiting.
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
    /// Takes the signals over from the system's own handling.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self { stream: SignalStream::new([SIGINT, SIGTERM])? })
    }

    /// The next of them.
    pub async fn next(&mut self) -> StopSignal {
        match self.stream.next().await {
            Some(SIGINT) => StopSignal::Interrupt,
            Some(_) => StopSignal::Terminate,
            None => std::future::pending().await,
        }
    }
}

impl Signals {
    /// Takes the signals over from the system's own handling.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self { stops: Stops::take()?, reloads: SignalStream::new([SIGHUP])? })
    }

    /// The next order; a stop goes first.
    pub async fn next(&mut self) -> ServiceSignal {
        tokio::select! {
            biased;
            _ = self.stops.next() => ServiceSignal::Stop,
            Some(_) = self.reloads.next() => ServiceSignal::Reload,
        }
    }

    /// Ends with the next order to stop; other orders are not heard.
    pub async fn next_stop(&mut self) {
        self.stops.next().await;
    }
}
