//! Reads pages of rows by `seq`, backwards from the newest or forwards.

use rusqlite::{Row, named_params};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::Training;
use crate::domain::avatar::transition::Transition;
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
        let sql = format!(
            "SELECT {columns}, seq FROM transitions
             WHERE (:avatar IS NULL OR avatar_id = :avatar) AND (:before IS NULL OR seq < :before)
             ORDER BY seq DESC LIMIT :limit",
            columns = transitions::COLUMNS
        );
        let parameters = named_params! {":avatar": avatar, ":before": before, ":limit": limit};
        self.rows("reading transitions", &sql, parameters, read_numbered)
    }

    /// At most `limit` transitions, the newest first, and how many there are.
    pub fn transitions_matching(
        &self,
        filter: &TransitionFilter,
        limit: u32,
    ) -> Result<(Vec<NumberedTransition>, u64), StoreError> {
        const WHERE: &str = "
             WHERE (:avatars IS NULL OR avatar_id IN (SELECT value FROM json_each(:avatars)))
               AND (:status IS NULL OR to_status = :status)
               AND (:since IS NULL OR detected_at >= :since)";
        let ids = filter.avatars.as_ref().map(|ids| {
            let quoted: Vec<String> = ids.iter().map(|id| format!("{:?}", id.as_str())).collect();
            format!("[{}]", quoted.join(","))
        });
        let columns = transitions::COLUMNS;
        let sql = format!(
            "SELECT {columns}, seq FROM transitions {WHERE} ORDER BY seq DESC LIMIT :limit"
        );
        let parameters = named_params! {
            ":avatars": ids, ":status": filter.status, ":since": filter.since, ":limit": limit
        };
        let rows = self.rows("reading transitions", &sql, parameters, read_numbered)?;
        let sql = format!("SELECT count(*) FROM transitions {WHERE}");
        let parameters =
            named_params! {":avatars": ids, ":status": filter.status, ":since": filter.since};
        let total = self.rows("counting transitions", &sql, parameters, |row| row.get(0))?.pop();
        Ok((rows, total.unwrap_or_default()))
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

    /// The statuses that were ever observed.
    pub fn statuses(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT to_status FROM transitions";
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
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} {FROM_DELIVERIES}
               AND (:before IS NULL OR d.seq < (SELECT seq FROM deliveries WHERE id = :before))
             ORDER BY d.seq DESC LIMIT ifnull(:limit, -1)"
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

    /// How many deliveries there are.
    pub fn delivery_count(&self, filter: &DeliveryFilter) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) {FROM_DELIVERIES}");
        let parameters = named_params! {
            ":state": filter.state,
            ":channel": filter.channel,
            ":avatar": filter.avatar,
            ":type": filter.event_type,
        };
        let found = self.rows("counting the deliveries", &sql, parameters, |row| row.get(0))?.pop();
        Ok(found.unwrap_or_default())
    }
}

/// The deliveries that a [`DeliveryFilter`] selects.
const FROM_DELIVERIES: &str = "FROM deliveries d JOIN events e ON e.id = d.event_id
             WHERE (:state IS NULL OR d.state = :state)
               AND (:channel IS NULL OR d.channel_id = :channel)
               AND (:avatar IS NULL OR d.ordering_key = :avatar)
               AND (:type IS NULL OR e.type = :type)";

fn read_numbered(row: &Row<'_>) -> rusqlite::Result<NumberedTransition> {
    Ok((row.get("seq")?, transitions::read(row)?))
}
