//! Verifies a database file: its schema and its content.
//!
//! Reads one state of the file, with or without a daemon, and changes nothing. No row is read if
//! the schema was altered.

use std::path::Path;

use crate::store::error::StoreError;
use crate::store::sqlite::copy::snapshot;
use crate::store::sqlite::integrity::{IntegrityCheck, IntegrityFinding, IntegrityReport, examine};

/// Checks the database at `path`, of this or an older schema.
///
/// # Errors
/// When there is none, it is newer than this program, or it cannot be opened; damage is a finding.
pub fn verify(path: &Path) -> Result<IntegrityReport, StoreError> {
    let examined = snapshot::read(path, |database| {
        // In one transaction, while a daemon may write.
        database.read_unlimited("checking the database", |connection| {
            Ok(examine(connection, database.schema))
        })
    });
    let found = match examined {
        Err(StoreError::Damaged(_, what)) => vec![what],
        // An altered schema could change what our statements do, so no row is read.
        Err(StoreError::Altered(_, differences)) => differences,
        examined => return examined,
    };
    let findings =
        found.into_iter().map(|what| IntegrityFinding { part: IntegrityCheck::Structure, what });
    Ok(IntegrityReport { findings: findings.collect(), ..IntegrityReport::default() })
}
