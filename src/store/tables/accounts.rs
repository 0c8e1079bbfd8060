//! Rows of `accounts` and `discovered`: the results of list polls.

use rusqlite::{Connection, OptionalExtension as _};

use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::account_availability::Outage;
use crate::domain::time::timestamp::Timestamp;
use crate::store::sqlite::statement::column;
use crate::store::tables::conditions;

/// The stored state of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// When its first complete list was received.
    pub(crate) listed_at: Option<Timestamp>,
    pub(crate) discovered: Vec<AvatarId>,
    /// The outage, if `account.unavailable` is firing.
    pub(crate) outage: Option<Outage>,
}

pub(in crate::store) fn find(
    connection: &Connection,
    account: &AccountName,
) -> rusqlite::Result<AccountState> {
    let sql = "SELECT listed_at FROM accounts WHERE name = ?1";
    let listed_at =
        connection.prepare_cached(sql)?.query_row([account], |row| row.get(0)).optional()?;
    let sql = "SELECT avatar_id FROM discovered WHERE account = ?1 ORDER BY avatar_id";
    Ok(AccountState {
        listed_at,
        discovered: column(connection, sql, [account])?,
        outage: conditions::account_outage(connection, account)?,
    })
}

/// Records the first complete list of an account.
pub(in crate::store) fn listed(
    connection: &Connection,
    account: &AccountName,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO accounts(name, listed_at) VALUES(?1, ?2) ON CONFLICT(name) DO NOTHING";
    connection.prepare_cached(sql)?.execute((account, at)).map(drop)
}

pub(in crate::store) fn discovered(
    connection: &Connection,
    account: &AccountName,
    id: &AvatarId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO discovered(avatar_id, account, discovered_at) VALUES(?1, ?2, ?3)
               ON CONFLICT(avatar_id) DO UPDATE SET account = excluded.account";
    connection.prepare_cached(sql)?.execute((id, account, at)).map(drop)
}
