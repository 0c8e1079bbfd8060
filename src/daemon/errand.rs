//! What the poller sends tasks for, and what they come back with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::Span;

use crate::daemon::look::Looked;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::listing::Listing;
use crate::domain::moment::Moment;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;

/// What a task was sent for.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    /// The avatar that it looks at or writes of; `None` for a list.
    pub(super) avatar: Option<AvatarId>,
    /// The account whose key it uses; `None` when it only writes.
    pub(super) account: Option<AccountName>,
    /// Set when the answer will be none to what is asked now: another key, another account.
    pub(super) stale: Arc<AtomicBool>,
    /// What every line of the log about it has in common.
    pub(super) span: Span,
}

impl Default for Errand {
    fn default() -> Self {
        Self { avatar: None, account: None, stale: Arc::default(), span: Span::current() }
    }
}

/// What a task came back with.
#[derive(Debug)]
pub(super) enum Returned {
    /// A look, or a write.
    Looked(Box<Looked>),
    /// A list, and when it was asked for.
    Listed(Listing, Moment),
    /// What the disk knows of an avatar.
    Recalled(Result<Vec<Watch>, StoreError>),
    /// Nothing: it was cut off while it asked.
    CutOff,
}
