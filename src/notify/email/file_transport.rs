//! Writes mails as files into a folder, for development and tests.
//!
//! Invariants: files are written atomically; a repeat replaces the file, since its name is the id
//! of the delivery; only the owner can read it.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::files::write::{PRIVATE, probe, replace};
use crate::notify::message::OutboundMessage;
use crate::notify::transport_error::failed_outcome;

/// The envelope, in a file beside the mail.
#[derive(Serialize)]
struct EnvelopeFile<'a> {
    from: &'a str,
    to: &'a str,
    event: &'a str,
    delivery: &'a str,
}

/// Writes the envelope, then the mail. Without `from`, the sender is empty.
pub(super) async fn deliver(
    folder: &Path,
    from: Option<String>,
    message: &OutboundMessage,
) -> Outcome {
    let envelope = EnvelopeFile {
        from: from.as_deref().unwrap_or_default(),
        to: &message.recipient,
        event: message.event_id.as_str(),
        delivery: message.delivery_id.as_str(),
    };
    // Serializing strings cannot fail.
    let mut envelope = serde_json::to_vec_pretty(&envelope).unwrap_or_default();
    envelope.push(b'\n');
    let (id, mail) = (message.delivery_id.to_string(), message.body.clone());
    write(folder, move |folder| {
        replace(&folder.join(format!("{id}.json")), &envelope, PRIVATE)?;
        replace(&folder.join(format!("{id}.eml")), &mail, PRIVATE)
    })
    .await
}

/// Checks that a file can be created; leaves none behind.
pub(super) async fn check(folder: &Path) -> Outcome {
    write(folder, probe).await
}

async fn write(
    folder: &Path,
    work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Outcome {
    let path = folder.to_owned();
    let written = tokio::task::spawn_blocking(move || work(&path)).await;
    // A join error means that the task panicked.
    let Err(error) = written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) else {
        return Outcome::new(OutcomeClass::Delivered, FILE);
    };
    let class = match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => OutcomeClass::Misconfigured,
        _ => OutcomeClass::Local,
    };
    let folder = folder.display();
    let text = format!("a mail cannot be written to the folder `{folder}`: {error}");
    failed_outcome(class, FILE, text)
}

const FILE: &str = "file";
