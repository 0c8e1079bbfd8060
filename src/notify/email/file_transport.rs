//! Mail into a folder, for development and trials: each one a file of its own.
//!
//! What always holds: a file is there whole or not at all; a repeat takes the place of the file
//! before it, since its name is the id of the delivery; nobody but the owner can read it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::files::write::{PRIVATE, probe, replace};
use crate::notify::message::OutboundMessage;
use crate::notify::transport_error::failed_outcome;

/// The folder.
#[derive(Debug)]
pub(super) struct FileTransport {
    path: PathBuf,
}

/// What stands beside a mail: the envelope that a server would have got.
#[derive(Serialize)]
struct EnvelopeFile<'a> {
    from: &'a str,
    to: &'a str,
    event: &'a str,
    delivery: &'a str,
}

impl FileTransport {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// How long one try takes at most, as far as a disk can be believed.
    pub(super) const fn attempt_timeout() -> Duration {
        Duration::from_secs(30)
    }

    /// Writes the envelope, and then the mail. Without a sender, bounces go nowhere.
    pub(super) async fn deliver(&self, from: Option<String>, parcel: &OutboundMessage) -> Outcome {
        let envelope = EnvelopeFile {
            from: from.as_deref().unwrap_or_default(),
            to: &parcel.recipient,
            event: parcel.event_id.as_str(),
            delivery: parcel.delivery_id.as_str(),
        };
        // A struct of texts is always JSON.
        let mut envelope = serde_json::to_vec_pretty(&envelope).unwrap_or_default();
        envelope.push(b'\n');
        let (folder, id) = (self.path.clone(), parcel.delivery_id.to_string());
        let mail = parcel.body.clone();
        let writing = tokio::task::spawn_blocking(move || {
            replace(&folder.join(format!("{id}.json")), &envelope, PRIVATE)?;
            replace(&folder.join(format!("{id}.eml")), &mail, PRIVATE)
        });
        // The writing ends with an error of its own kind only when it panics.
        self.classify(writing.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    }

    /// Whether a file can be made there; none is left.
    pub(super) async fn probe(&self) -> Outcome {
        let folder = self.path.clone();
        let trying = tokio::task::spawn_blocking(move || probe(&folder));
        self.classify(trying.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    }

    fn classify(&self, written: io::Result<()>) -> Outcome {
        let Err(error) = written else { return Outcome::new(OutcomeClass::Delivered, FILE) };
        let class = match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem => OutcomeClass::Misconfigured,
            _ => OutcomeClass::Local,
        };
        let folder = self.path.display();
        failed_outcome(
            class,
            FILE,
            format!("a mail cannot be written to the folder `{folder}`: {error}"),
        )
    }
}

/// The phase of every outcome: it is the only step there is.
const FILE: &str = "file";
