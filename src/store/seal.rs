//! The seals of what is told: a hash over each event and each delivery with its frozen bytes, so
//! that a body that changed on disk is found before it goes out as something else.
//!
//! What always holds: a seal is made with its row, in the same write, and never again; it covers
//! nothing that changes in the life of a row. It guards no order: a row may go for its age.

use rusqlite::{Connection, Row, Statement};
use sha2::{Digest as _, Sha256};

/// A hash over fields, each with its length, so that no two rows share a text.
#[derive(Debug, Default)]
pub(super) struct Seal(Sha256);

impl Seal {
    /// With one more field.
    #[must_use]
    pub(super) fn with(mut self, field: &[u8]) -> Self {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    /// The hash.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

/// What of an event never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventFields<'a> {
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) avatar_id: Option<&'a str>,
    pub(super) sequence: Option<i64>,
    pub(super) occurred_at: i64,
    pub(super) replay_of: Option<&'a str>,
    pub(super) body: &'a [u8],
}

impl EventFields<'_> {
    /// Its seal.
    pub(super) fn seal(&self) -> Vec<u8> {
        Seal::default()
            .with(self.id.as_bytes())
            .with(self.kind.as_bytes())
            .with(self.avatar_id.unwrap_or_default().as_bytes())
            .with(&self.sequence.unwrap_or(0).to_be_bytes())
            .with(&self.occurred_at.to_be_bytes())
            .with(self.replay_of.unwrap_or_default().as_bytes())
            .with(self.body)
            .finish()
    }
}

/// What of a delivery never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryFields<'a> {
    pub(super) id: &'a str,
    pub(super) event_id: &'a str,
    pub(super) avatar_id: &'a str,
    pub(super) channel_id: &'a str,
    pub(super) recipient: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
}

impl DeliveryFields<'_> {
    /// Its seal.
    pub(super) fn seal(&self) -> Vec<u8> {
        Seal::default()
            .with(self.id.as_bytes())
            .with(self.event_id.as_bytes())
            .with(self.avatar_id.as_bytes())
            .with(self.channel_id.as_bytes())
            .with(self.recipient.as_bytes())
            .with(self.content_type.as_bytes())
            .with(self.body)
            .finish()
    }
}

/// Seals an event that was copied from another one.
pub(super) fn copied_event(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    copied(connection, TABLES[0], id)
}

/// Seals a delivery that was copied from another one.
pub(super) fn copied_delivery(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    copied(connection, TABLES[1], id)
}

fn copied(
    connection: &Connection,
    (select, update, read): Table,
    id: &str,
) -> rusqlite::Result<()> {
    let mut find = connection.prepare(&format!("{select} WHERE id = ?1"))?;
    let (seq, _, seal) = find.query_row([id], read)?;
    note(&mut connection.prepare(update)?, seq, &seal)
}

/// Which messages are not as they were written.
pub(super) fn find_broken(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    for ((select, _, read), kind) in TABLES.into_iter().zip(["event", "delivery"]) {
        let mut statement = connection.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let written: Vec<u8> = row.get("seal")?;
            match read(row) {
                Ok((_, _, seal)) if seal == written => {}
                Ok((_, id, _)) => {
                    found.push(format!("the message of {kind} `{id}` is not as it was written"));
                }
                Err(failure) => found.push(format!("a message cannot be read: {failure}")),
            }
        }
    }
    Ok(found)
}

/// The place of a row, its id, and the seal that it should have.
type Sealed = (i64, String, Vec<u8>);

/// How the rows of a table are found, noted and read.
type Table = (&'static str, &'static str, Read);

type Read = fn(&Row<'_>) -> rusqlite::Result<Sealed>;

fn of_event(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let optional = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    let event = EventFields {
        id: text("id")?,
        kind: text("type")?,
        avatar_id: optional("avatar_id")?,
        sequence: row.get("avatar_seq")?,
        occurred_at: row.get("occurred_at")?,
        replay_of: optional("replay_of")?,
        body: row.get_ref("body")?.as_blob()?,
    };
    Ok((row.get("seq")?, event.id.to_owned(), event.seal()))
}

fn of_delivery(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let delivery = DeliveryFields {
        id: text("id")?,
        event_id: text("event_id")?,
        avatar_id: text("avatar_id")?,
        channel_id: text("channel_id")?,
        recipient: text("recipient")?,
        content_type: text("content_type")?,
        body: row.get_ref("body")?.as_blob()?,
    };
    Ok((row.get("seq")?, delivery.id.to_owned(), delivery.seal()))
}

fn note(update: &mut Statement<'_>, seq: i64, seal: &[u8]) -> rusqlite::Result<()> {
    update.execute((seq, seal)).map(drop)
}

/// The tables with such seals.
const TABLES: [Table; 2] =
    [(EVENTS, NOTE_EVENT, of_event), (DELIVERIES, NOTE_DELIVERY, of_delivery)];
const EVENTS: &str =
    "SELECT seq, id, type, avatar_id, avatar_seq, occurred_at, replay_of, body, seal FROM events";
const DELIVERIES: &str = "SELECT seq, id, event_id, avatar_id, channel_id, recipient, \
                          content_type, body, seal FROM deliveries";
const NOTE_EVENT: &str = "UPDATE events SET seal = ?2 WHERE seq = ?1";
const NOTE_DELIVERY: &str = "UPDATE deliveries SET seal = ?2 WHERE seq = ?1";
