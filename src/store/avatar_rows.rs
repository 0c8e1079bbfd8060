//! Reads what is recorded of avatars: of one, of some, or of all in the order of their ids.

use std::ops::ControlFlow;

use rusqlite::{OptionalExtension as _, Row};

use crate::domain::avatar::AvatarId;
use crate::domain::polling::watch::Watch;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::reader::Reader;
use crate::store::tables::watches;

/// What a list of avatars needs of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvatarRow<'r> {
    /// Its id.
    pub id: &'r str,
    pub(crate) name: Option<&'r str>,
    pub(crate) model: Option<&'r str>,
    /// The last observed status.
    pub status: Option<&'r str>,
    /// Since when it is in training, if that is its status.
    pub(crate) training_since: Option<Timestamp>,
    pub(crate) is_failing: bool,
    pub(crate) is_forgotten: bool,
}

/// The record of one avatar, without its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAvatar {
    pub(crate) watch: Watch,
    pub(crate) is_forgotten: bool,
}

impl Reader {
    /// All watches but the forgotten ones, by id.
    pub fn watches(&self) -> Result<Vec<Watch>, StoreError> {
        self.read("reading the watches", watches::all)
    }

    /// The records of all avatars, also of forgotten ones, by id.
    pub fn recorded_avatars(&self) -> Result<Vec<RecordedAvatar>, StoreError> {
        let sql = format!("{} ORDER BY avatar_id", select_records());
        self.rows("reading the avatars", &sql, (), read_record)
    }

    /// The records of these avatars, in their order.
    pub fn recorded_of(&self, ids: &[AvatarId]) -> Result<Vec<Option<RecordedAvatar>>, StoreError> {
        let sql = format!("{} WHERE avatar_id = ?1", select_records());
        self.read("reading avatars", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            ids.iter().map(|id| statement.query_row([id], read_record).optional()).collect()
        })
    }

    /// The spelling of an id that a row has, which may differ in case.
    pub fn spelling(&self, id: &AvatarId) -> Result<Option<AvatarId>, StoreError> {
        let sql = "SELECT avatar_id FROM watches WHERE avatar_id = ?1 COLLATE NOCASE LIMIT 1";
        Ok(self.rows("finding an avatar", sql, [id], |row| row.get(0))?.pop())
    }

    /// Visits the rows of all avatars with an id after `after`, also of forgotten ones, by id.
    pub fn each_avatar(
        &self,
        after: &str,
        mut visit: impl FnMut(AvatarRow<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // `training_since` is not null if a training before the status is open.
        let sql = "SELECT avatar_id, name, model, status,
                          iif(status = 'TRAINING', coalesce(training_since, status_since), NULL),
                          failure IS NOT NULL, forgotten_at IS NOT NULL
                   FROM watches WHERE avatar_id > ?1 ORDER BY avatar_id";
        self.read("reading the avatars", |connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([after])?;
            while let Some(row) = rows.next()? {
                let text =
                    |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
                let visited = visit(AvatarRow {
                    id: row.get_ref(0)?.as_str()?,
                    name: text(1)?,
                    model: text(2)?,
                    status: text(3)?,
                    training_since: row.get(4)?,
                    is_failing: row.get(5)?,
                    is_forgotten: row.get(6)?,
                });
                if visited.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The names in the API of all avatars with a history, also of forgotten ones.
    pub fn avatar_names(&self) -> Result<Vec<(AvatarId, Option<String>)>, StoreError> {
        let sql = "SELECT avatar_id, name FROM watches ORDER BY avatar_id";
        self.rows("reading the names", sql, (), |row| row.try_into())
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<RecordedAvatar> {
    let is_forgotten = row.get("is_forgotten")?;
    Ok(RecordedAvatar { watch: watches::read_unconditional(row)?, is_forgotten })
}

/// Reads records, before an `ORDER BY` or a `WHERE`.
fn select_records() -> String {
    format!("SELECT {}, forgotten_at IS NOT NULL AS is_forgotten FROM watches", watches::COLUMNS)
}
