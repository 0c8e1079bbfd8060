//! Records what the fake API served and what the receiver accepted, and compares them.
//!
//! The daemon does not write here, so it cannot influence the result.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The ledger; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    // A std mutex: it is held for a few instructions and never across an await.
    records: Arc<Mutex<Records>>,
    changes: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Records {
    last_served: HashMap<String, String>,
    ended: HashMap<String, String>,
    made: Vec<FinalTransition>,
    accepted: BTreeMap<String, Accepted>,
    rejected: HashMap<String, Vec<u8>>,
    differences: Vec<String>,
}

/// A transition to a final status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FinalTransition {
    pub(super) avatar: String,
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug)]
struct Accepted {
    transition: FinalTransition,
    times: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconciliation {
    /// Number of transitions that the API made.
    pub(super) made: usize,
    /// Number of messages that the receiver accepted, by id.
    pub(super) accepted: usize,
    /// Transitions without an accepted message so far.
    pub(super) open: Vec<FinalTransition>,
    pub(super) differences: Vec<String>,
}

impl Ledger {
    /// Records a served status; `last` for the final one.
    pub(super) fn served(&self, avatar: &str, status: &str, last: bool) {
        let mut records = self.open();
        let before = records.last_served.insert(avatar.to_owned(), status.to_owned());
        if last {
            records.ended.insert(avatar.to_owned(), status.to_owned());
        }
        if let Some(from) = before.filter(|from| from != status)
            && SETTLED.contains(&status)
        {
            let (avatar, to) = (avatar.to_owned(), status.to_owned());
            records.made.push(FinalTransition { avatar, from, to });
        }
        drop(records);
        self.changes.notify_one();
    }

    /// Records a message that the receiver rejected, to see it repeated with the same bytes.
    pub(super) fn rejected(&self, id: &str, body: &[u8]) {
        self.open().rejected.insert(id.to_owned(), body.to_vec());
    }

    pub(super) fn was_rejected(&self, id: &str) -> bool {
        self.open().rejected.contains_key(id)
    }

    pub(super) fn accepted(&self, id: &str, transition: FinalTransition, body: &[u8]) {
        let mut records = self.open();
        if records.rejected.get(id).is_some_and(|before| before != body) {
            records.differences.push(format!("{id} was repeated with other bytes"));
        }
        let entry = records.accepted.entry(id.to_owned());
        entry.or_insert_with(|| Accepted { transition, times: 0 }).times += 1;
        drop(records);
        self.changes.notify_one();
    }

    /// Records a violation that the receiver noticed.
    pub(super) fn difference(&self, what: String) {
        self.open().differences.push(what);
        self.changes.notify_one();
    }

    /// Whether `avatars` have reached their final status and every transition was accepted.
    pub(super) fn is_settled(&self, avatars: usize) -> bool {
        let records = self.open();
        records.ended.len() == avatars && records.accepted.len() >= records.made.len()
    }

    pub(super) async fn changed(&self) {
        self.changes.notified().await;
    }

    /// Compares both sides: every transition must be accepted exactly once, and nothing else.
    pub(super) fn reconcile(&self) -> Reconciliation {
        let records = self.open();
        let mut differences = records.differences.clone();
        let mut open = records.made.clone();
        for (id, accepted) in &records.accepted {
            if accepted.times > 1 {
                differences.push(format!("{id} was delivered {} times", accepted.times));
            }
            match open.iter().position(|made| *made == accepted.transition) {
                Some(position) => drop(open.swap_remove(position)),
                None => differences.push(format!(
                    "{id} reports a transition that never happened: {:?}",
                    accepted.transition
                )),
            }
        }
        Reconciliation {
            made: records.made.len(),
            accepted: records.accepted.len(),
            open,
            differences,
        }
    }

    fn open(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SETTLED: [&str; 3] = ["IDLE", "TRAINING_FAILED", "REFUSED"];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(to: &str) -> FinalTransition {
        FinalTransition { avatar: "a".to_owned(), from: "TRAINING".to_owned(), to: to.to_owned() }
    }

    fn trained() -> Ledger {
        let ledger = Ledger::default();
        for (status, last) in [("TRAINING", false), ("TRAINING", false), ("IDLE", true)] {
            ledger.served("a", status, last);
        }
        ledger
    }

    #[test]
    fn each_transition_must_be_accepted_once() {
        let ledger = trained();
        assert!(!ledger.is_settled(1));
        assert_eq!(ledger.reconcile().open, [made("IDLE")], "not accepted yet");
        ledger.accepted("evt_1", made("IDLE"), b"x");
        assert!(ledger.is_settled(1));
        assert_eq!(
            ledger.reconcile(),
            Reconciliation { made: 1, accepted: 1, open: Vec::new(), differences: Vec::new() }
        );
        ledger.accepted("evt_1", made("IDLE"), b"x");
        assert_eq!(ledger.reconcile().differences.len(), 1, "accepted twice");
    }

    #[test]
    fn a_message_without_transition_is_a_difference() {
        let ledger = trained();
        ledger.accepted("evt_1", made("IDLE"), b"x");
        ledger.accepted("evt_2", made("IDLE"), b"x");
        ledger.accepted("evt_3", made("REFUSED"), b"x");
        assert_eq!(ledger.reconcile().differences.len(), 2);
    }

    #[test]
    fn a_repeat_must_have_the_same_bytes() {
        let ledger = trained();
        ledger.rejected("evt_1", b"x");
        ledger.accepted("evt_1", made("IDLE"), b"y");
        assert_eq!(ledger.reconcile().differences.len(), 1);
    }
}
