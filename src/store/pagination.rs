//! Reads pages of rows by `seq`, backwards from the newest or forwards.

use rusqlite::{Row, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::Transition;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::{ErrorContext as _, StoreError};
use crate::store::reader::{
    DELIVERY_COLUMNS, DeliveryFilter, DeliveryRow, Reader, TransitionFilter, read_delivery,
};
use crate::store::tables::transitions;

/// A transition with its `seq`, which counts from one over all avatars.
pub type NumberedTransition = (i64, Transition);

/// Which history a database has, and how far the retention has removed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The random id, new in each backup.
    pub(crate) id: u64,
    /// The last `seq` that was removed; zero if none.
    pub(crate) pruned_up_to: i64,
}

impl Reader {
    /// At most `limit` transitions of one avatar, or of all, newest first, with a `seq` below
    /// `before`.
    pub fn transitions_before(
        &self,
        avatar: Option<&AvatarId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NumberedTransition>, StoreError> {
        // The order by `avatar_seq` is the same, and has an index.
        let (of_avatar, order) = match avatar {
            Some(_) => ("avatar_id = :avatar", "avatar_seq"),
            None => (":avatar IS NULL", "seq"),
        };
        let sql = format!(
            "SELECT {columns}, seq FROM transitions WHERE {of_avatar} AND seq < :before
             ORDER BY {order} DESC LIMIT :limit",
            columns = transitions::COLUMNS
        );
        let before = before.unwrap_or(i64::MAX);
        let parameters = named_params! {":avatar": avatar, ":before": before, ":limit": limit};
        self.rows("reading transitions", &sql, parameters, read_numbered)
    }

    /// At most `limit` transitions, the newest first, and how many there are, counted up to
    /// [`COUNT_MAX`].
    pub fn transitions_matching(
        &self,
        filter: &TransitionFilter,
        limit: u32,
    ) -> Result<(Vec<NumberedTransition>, u64), StoreError> {
        let of_avatars = match &filter.avatars {
            Some(_) => "avatar_id IN (SELECT value FROM json_each(:avatars))",
            None => ":avatars IS NULL",
        };
        let of_status =
            if filter.status.is_some() { "to_status = :status" } else { ":status IS NULL" };
        let selected = format!(
            "FROM transitions WHERE {of_avatars} AND {of_status} AND detected_at >= :since"
        );
        let ids = filter
            .avatars
            .as_ref()
            .map(|ids| serde_json::Value::from_iter(ids.iter().map(AvatarId::as_str)).to_string());
        let since = filter.since.unwrap_or(Timestamp::from_millis(i64::MIN));
        let columns = transitions::COLUMNS;
        let sql = format!("SELECT {columns}, seq {selected} ORDER BY seq DESC LIMIT :limit");
        let parameters = |limit: u64| {
            (ids.clone(), filter.status.clone(), since, i64::try_from(limit).unwrap_or(i64::MAX))
        };
        let rows =
            self.rows("reading transitions", &sql, parameters(limit.into()), read_numbered)?;
        let sql = format!("SELECT count(*) FROM (SELECT 1 {selected} LIMIT :limit)");
        let total =
            self.rows("counting transitions", &sql, parameters(COUNT_MAX + 1), |row| row.get(0))?;
        Ok((rows, total.into_iter().next().unwrap_or_default()))
    }

    /// The last observed training of an avatar that ended.
    pub fn last_training(&self, id: &AvatarId) -> Result<Option<Training>, StoreError> {
        let sql = format!(
            "SELECT {columns} FROM transitions
             WHERE avatar_id = ?1 AND trained_since IS NOT NULL ORDER BY avatar_seq DESC LIMIT 1",
            columns = transitions::COLUMNS
        );
        let last = self.rows("reading the last training", &sql, [id], transitions::read)?.pop();
        Ok(last.and_then(|transition| transition.training))
    }

    /// The statuses that avatars have, and the unrecognized ones that any had.
    pub fn statuses(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT status FROM watches WHERE status IS NOT NULL
                   UNION SELECT status FROM unrecognized";
        self.rows("reading the statuses", sql, (), |row| row.get(0))
    }

    /// At most `limit` transitions of all avatars, oldest first, with a `seq` above `after`.
    pub fn transitions_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<NumberedTransition>, StoreError> {
        let sql = format!(
            "SELECT {columns}, seq FROM transitions WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            columns = transitions::COLUMNS
        );
        self.rows("reading transitions", &sql, (after, limit), read_numbered)
    }

    /// The id of the history, and how far it was removed.
    pub fn history(&self) -> Result<History, StoreError> {
        let sql = "SELECT history_id, pruned_up_to FROM history";
        let read = |row: &Row<'_>| {
            let id: i64 = row.get(0)?;
            Ok(History { id: id.cast_unsigned(), pruned_up_to: row.get(1)? })
        };
        let found = self.rows("reading the history id", sql, (), read)?.pop();
        found.ok_or(rusqlite::Error::QueryReturnedNoRows).doing("reading the history id")
    }

    /// The `seq` of the last transition; zero when there is none.
    pub fn last_seq(&self) -> Result<i64, StoreError> {
        // An expression around `max` would make SQLite read all rows.
        let sql = "SELECT max(seq) FROM transitions";
        let last = self.rows("reading transitions", sql, (), |row| row.get::<_, Option<i64>>(0))?;
        Ok(last.into_iter().flatten().next().unwrap_or(0))
    }

    /// Deliveries older than the delivery `before`, newest first.
    pub fn deliveries_before(
        &self,
        filter: &DeliveryFilter,
        before: Option<&str>,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let older = match before {
            Some(_) => "d.seq < (SELECT seq FROM deliveries WHERE id = :before)",
            None => ":before IS NULL",
        };
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} {} AND {older} ORDER BY {} DESC LIMIT ifnull(:limit, -1)",
            selected(filter),
            order(filter)
        );
        let parameters = named_params! {
            ":state": filter.state,
            ":channel": filter.channel,
            ":avatar": filter.avatar,
            ":type": filter.event_type,
            ":before": before,
            ":limit": filter.limit,
        };
        self.rows("reading the deliveries", &sql, parameters, read_delivery)
    }

    /// How many deliveries there are, counted up to [`COUNT_MAX`].
    pub fn delivery_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM (SELECT 1 {} LIMIT :limit)", selected(filter));
        let parameters = named_params! {
            ":state": filter.state,
            ":channel": filter.channel,
            ":avatar": filter.avatar,
            ":type": filter.event_type,
            ":limit": COUNT_MAX + 1,
        };
        let found = self.rows("counting the deliveries", &sql, parameters, |row| row.get(0))?.pop();
        Ok(found.unwrap_or_default())
    }
}

/// The deliveries that a filter selects. Only conditions that are set are in the SQL, and those on
/// the state as the partial indexes have them: otherwise SQLite would read all rows.
fn selected(filter: &DeliveryFilter) -> String {
    let state = match filter.state.as_deref() {
        None => ":state IS NULL",
        Some("pending" | "sending") => "d.state IN ('pending','sending') AND d.state = :state",
        Some("dead") => "d.state = 'dead' AND d.state = :state",
        Some("resent" | "cancelled") => "d.state IN ('resent','cancelled') AND d.state = :state",
        Some(_) => "d.state = :state",
    };
    let of = |value: &Option<String>, set: &'static str, unset: &'static str| {
        if value.is_some() { set } else { unset }
    };
    let channel = of(&filter.channel, "d.channel_id = :channel", ":channel IS NULL");
    let avatar = of(&filter.avatar, "e.avatar_id = :avatar", ":avatar IS NULL");
    let kind = of(&filter.event_type, "e.type = :type", ":type IS NULL");
    format!(
        "FROM deliveries d JOIN events e ON e.id = d.event_id
         WHERE {state} AND {channel} AND {avatar} AND {kind}"
    )
}

/// What deliveries are ordered by. With a filter that has an index, few rows are sorted; SQLite
/// would walk through all of them otherwise, in the order that is asked for.
fn order(filter: &DeliveryFilter) -> &'static str {
    let is_open = matches!(filter.state.as_deref(), Some("pending" | "sending" | "dead"));
    if is_open || filter.avatar.is_some() { "+d.seq" } else { "d.seq" }
}

/// Rows are counted up to this number: the rest is "more".
pub const COUNT_MAX: u64 = 10_000;

fn read_numbered(row: &Row<'_>) -> rusqlite::Result<NumberedTransition> {
    Ok((row.get("seq")?, transitions::read(row)?))
}
