//! The ledger: what the simulated API served and what the receiver took, to be compared.
//!
//! Both sides write here; the daemon does not, so that it cannot make itself look good.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The ledger; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    // A std mutex: it is held for a few instructions and never across an await.
    pages: Arc<Mutex<Pages>>,
    written: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Pages {
    last_served: HashMap<String, String>,
    ended: HashMap<String, String>,
    news: Vec<Received>,
    taken: BTreeMap<String, Taken>,
    refused: HashMap<String, Vec<u8>>,
    faults: Vec<String>,
}

/// A piece of news: an avatar settled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Received {
    /// Which avatar.
    pub avatar: String,
    /// From which status.
    pub from: String,
    /// To which status.
    pub to: String,
}

#[derive(Debug)]
struct Taken {
    news: Received,
    times: u32,
}

/// How the two sides compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// News that the API made.
    pub made: usize,
    /// Messages that the receiver took, by id.
    pub taken: usize,
    /// News that was made and is not taken yet.
    pub open: Vec<Received>,
    /// What does not fit, in words.
    pub faults: Vec<String>,
}

impl Ledger {
    /// The API served a status; `last` when the avatar will not change any more.
    pub fn served(&self, avatar: &str, status: &str, last: bool) {
        let mut pages = self.open();
        let before = pages.last_served.insert(avatar.to_owned(), status.to_owned());
        if last {
            pages.ended.insert(avatar.to_owned(), status.to_owned());
        }
        if let Some(from) = before.filter(|from| from != status)
            && SETTLED.contains(&status)
        {
            let (avatar, to) = (avatar.to_owned(), status.to_owned());
            pages.news.push(Received { avatar, from, to });
        }
        drop(pages);
        self.written.notify_one();
    }

    /// The receiver sent a message away, to see it again with the same bytes.
    pub fn refused(&self, id: &str, body: &[u8]) {
        self.open().refused.insert(id.to_owned(), body.to_vec());
    }

    /// Whether the receiver sent that message away before.
    pub fn was_refused(&self, id: &str) -> bool {
        self.open().refused.contains_key(id)
    }

    /// The receiver took a message.
    pub fn taken(&self, id: &str, news: Received, body: &[u8]) {
        let mut pages = self.open();
        if pages.refused.get(id).is_some_and(|before| before != body) {
            pages.faults.push(format!("{id} was repeated with other bytes"));
        }
        let entry = pages.taken.entry(id.to_owned());
        entry.or_insert_with(|| Taken { news, times: 0 }).times += 1;
        drop(pages);
        self.written.notify_one();
    }

    /// The receiver got something that it should not have.
    pub fn fault(&self, what: String) {
        self.open().faults.push(what);
        self.written.notify_one();
    }

    /// Whether `avatars` have all ended and everything that was made was taken.
    pub fn is_settled(&self, avatars: usize) -> bool {
        let pages = self.open();
        pages.ended.len() == avatars && pages.taken.len() >= pages.news.len()
    }

    /// Ends when something was written since the last time.
    pub async fn changed(&self) {
        self.written.notified().await;
    }

    /// Compares the two sides: every piece of news taken exactly once, and nothing else.
    pub fn balance(&self) -> Reconciliation {
        let pages = self.open();
        let mut faults = pages.faults.clone();
        let mut open = pages.news.clone();
        for (id, taken) in &pages.taken {
            if taken.times > 1 {
                faults.push(format!("{id} was delivered {} times", taken.times));
            }
            match open.iter().position(|news| *news == taken.news) {
                Some(place) => drop(open.swap_remove(place)),
                None => faults.push(format!("{id} tells what never happened: {:?}", taken.news)),
            }
        }
        Reconciliation { made: pages.news.len(), taken: pages.taken.len(), open, faults }
    }

    fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SETTLED: [&str; 3] = ["IDLE", "TRAINING_FAILED", "REFUSED"];

#[cfg(test)]
mod tests {
    use super::*;

    fn news(to: &str) -> Received {
        Received { avatar: "a".to_owned(), from: "TRAINING".to_owned(), to: to.to_owned() }
    }

    fn trained() -> Ledger {
        let ledger = Ledger::default();
        for (status, last) in [("TRAINING", false), ("TRAINING", false), ("IDLE", true)] {
            ledger.served("a", status, last);
        }
        ledger
    }

    #[test]
    fn what_was_made_must_be_taken_once() {
        let ledger = trained();
        assert!(!ledger.is_settled(1));
        assert_eq!(ledger.balance().open, [news("IDLE")], "not told yet");
        ledger.taken("evt_1", news("IDLE"), b"x");
        assert!(ledger.is_settled(1));
        assert_eq!(
            ledger.balance(),
            Reconciliation { made: 1, taken: 1, open: Vec::new(), faults: Vec::new() }
        );
        ledger.taken("evt_1", news("IDLE"), b"x");
        assert_eq!(ledger.balance().faults.len(), 1, "told twice");
    }

    #[test]
    fn what_was_not_made_must_not_be_taken() {
        let ledger = trained();
        ledger.taken("evt_1", news("IDLE"), b"x");
        ledger.taken("evt_2", news("IDLE"), b"x");
        ledger.taken("evt_3", news("REFUSED"), b"x");
        assert_eq!(ledger.balance().faults.len(), 2);
    }

    #[test]
    fn a_repeat_must_have_the_same_bytes() {
        let ledger = trained();
        ledger.refused("evt_1", b"x");
        ledger.taken("evt_1", news("IDLE"), b"y");
        assert_eq!(ledger.balance().faults.len(), 1);
    }
}
