//! Conditions that last, and were notified so long ago that operators are reminded of them.

use rusqlite::{Connection, named_params};

use crate::domain::account::AccountName;
use crate::domain::alerts::AlertTiming;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::rows;

/// A condition of which operators are reminded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    pub(crate) kind: String,
    /// Its row: the kind and this.
    pub(crate) subject: String,
    pub(crate) since: Timestamp,
    /// The account of an avatar.
    pub(crate) account: Option<AccountName>,
    pub(crate) cause: Option<String>,
    pub(crate) reason: Option<String>,
    /// The channel, if it is one and in the config.
    pub(crate) channel: Option<ChannelName>,
    pub(crate) recipient: Option<String>,
    /// The name of an avatar at Argil.
    pub(crate) name: Option<String>,
    /// The status of an avatar.
    pub(crate) status: Option<Status>,
    pub(crate) is_discovered: bool,
}

/// What the reminders of one event have in common; the subject is null for avatars.
type ReminderKey = (String, Option<String>, Option<String>, Option<String>);

pub(super) fn is_due(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let Some(before) = timing.remind_before(now) else { return Ok(false) };
    let sql = "SELECT EXISTS(SELECT 1 FROM conditions WHERE notified_at <= ?1 OR notified_at > ?2)";
    connection.prepare_cached(sql)?.query_row((before, now), |row| row.get(0))
}

/// The conditions of the due reminders, those of one event together. Avatars of a group are all in
/// it as soon as one of them is due.
pub(super) fn find(
    connection: &Connection,
    timing: AlertTiming,
    now: Timestamp,
) -> rusqlite::Result<Vec<Vec<Reminder>>> {
    let Some(before) = timing.remind_before(now) else { return Ok(Vec::new()) };
    let sql = "SELECT DISTINCT kind, account, cause, iif(account IS NULL, subject, NULL)
               FROM conditions WHERE notified_at <= ?1 OR notified_at > ?2";
    let keys: Vec<ReminderKey> = rows(connection, sql, (before, now), |row| row.try_into())?;
    keys.iter().map(|key| members(connection, key)).collect()
}

fn members(connection: &Connection, key: &ReminderKey) -> rusqlite::Result<Vec<Reminder>> {
    let sql = "SELECT k.kind, k.subject, k.since, k.account, k.cause, k.reason,
                      ifnull(c.id, r.channel_id) AS channel, r.recipient, w.name, w.status,
                      d.avatar_id IS NOT NULL AS is_discovered
               FROM conditions k
               LEFT JOIN channels c ON k.subject = 'channel ' || c.id AND c.unconfigured = 0
               LEFT JOIN recipients r ON k.subject = 'channel ' || r.channel_id || ' to '
                                                     || r.recipient
                 AND EXISTS(SELECT 1 FROM channels o WHERE o.id = r.channel_id
                            AND o.unconfigured = 0)
               LEFT JOIN watches w ON w.avatar_id = k.subject
               LEFT JOIN discovered d ON d.avatar_id = k.subject
               WHERE k.notified_at IS NOT NULL AND k.kind = :kind AND k.account IS :account
                 AND k.cause IS :cause AND (:subject IS NULL OR k.subject = :subject)
               ORDER BY k.since, k.subject";
    let (kind, account, cause, subject) = key;
    let parameters =
        named_params! {":kind": kind, ":account": account, ":cause": cause, ":subject": subject};
    rows(connection, sql, parameters, |row| {
        Ok(Reminder {
            kind: row.get("kind")?,
            subject: row.get("subject")?,
            since: row.get("since")?,
            account: row.get("account")?,
            cause: row.get("cause")?,
            reason: row.get("reason")?,
            channel: row.get("channel")?,
            recipient: row.get("recipient")?,
            name: row.get("name")?,
            status: row.get("status")?,
            is_discovered: row.get("is_discovered")?,
        })
    })
}

/// Whether one of these conditions still holds.
pub(super) fn any_holds(
    connection: &Connection,
    kind: &str,
    subjects: &[String],
) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM conditions WHERE kind = ?1 AND subject = ?2)";
    for subject in subjects {
        if connection.prepare_cached(sql)?.query_row((kind, subject), |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records that operators were reminded, or that a condition is not watched at present.
pub(super) fn settle(
    connection: &Connection,
    kind: &str,
    subjects: &[String],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE conditions SET notified_at = ?3
               WHERE kind = ?1 AND subject = ?2 AND notified_at IS NOT NULL";
    for subject in subjects {
        connection.prepare_cached(sql)?.execute((kind, subject, now))?;
    }
    Ok(())
}
