//! Whether the files of a database may be written to and obeyed: what is to be sent stands in them.
//! To read one is no such thing.

use std::path::Path;

use crate::files::trust::{Distrust, Facts, Trust, Verdict};
use crate::store::error::StoreError;
use crate::store::links::{beside, end_of};
use crate::store::obstacle::{LOCK_END, SQLITE_ENDS};

/// Refuses a database that somebody else may have made or can write to, and one that has such a
/// file beside it. It may be another user's in a folder of that user: root looks after databases.
///
/// # Errors
/// [`StoreError::Blocked`] with the first such file.
pub(super) fn refuse_distrusted(database: &Path) -> Result<(), StoreError> {
    let trust = Trust::for_named();
    let file = end_of(database);
    let ends = SQLITE_ENDS.iter().chain([&LOCK_END]).map(|end| beside(&file, end));
    for path in [database.to_owned()].into_iter().chain(ends) {
        let Ok(facts) = Facts::at(&path) else { continue };
        if let Verdict::Distrusted(Distrust { what, help }) = trust.judge_named(&path, &facts) {
            return Err(StoreError::Blocked { path, what, help });
        }
    }
    Ok(())
}
