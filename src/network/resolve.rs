//! Look-ups of names by the system's resolver (`getaddrinfo`), which blocks and cannot be
//! interrupted: a dead name server costs it five seconds and more.
//!
//! So it runs on threads of its own, a bounded number for the whole process, which nobody waits
//! for: neither a caller whose limit has passed, nor the end of a runtime or of the process. Who
//! asks for a name that is being looked up shares that look-up. An answer that comes too late for
//! its caller is kept for a while, so that slow name servers make things late, never impossible.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// The name servers say that there is none.
    #[error("no such name")]
    Unknown,
    /// No name server answered, or none that could be used.
    #[error("no name server answered")]
    Unanswered,
    /// The look-up was still going on after so long.
    #[error("the name servers did not answer within {0:?}")]
    Slow(Duration),
}

/// The addresses of `host`, which may be an address itself; never none.
///
/// # Errors
/// When there are none, or they were not found within `limit`.
pub async fn look_up(host: &str, limit: Duration) -> Result<Vec<IpAddr>, LookUpError> {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => look_up_by(system, host, limit).await,
    }
}

/// The same with any way of looking up.
async fn look_up_by(ask: Ask, host: &str, limit: Duration) -> LookUpResult {
    if let Some(addresses) = desk().late.remove(host) {
        return Ok(addresses);
    }
    let mut answer = join(ask, host);
    match timeout(limit, &mut answer).await {
        // Its thread broke off, which is no fault of the name.
        Ok(answer) => answer.unwrap_or(Err(LookUpError::Unanswered)),
        Err(_) => {
            keep_late(host.to_owned(), answer);
            Err(LookUpError::Slow(limit))
        }
    }
}

/// Waits on for an answer that came too late, and keeps it for whoever asks next.
fn keep_late(host: String, answer: oneshot::Receiver<LookUpResult>) {
    tokio::spawn(async move {
        let Ok(Ok(addresses)) = answer.await else { return };
        desk().late.insert(host.clone(), addresses);
        sleep(LATE_KEPT).await;
        desk().late.remove(&host);
    });
}

/// Asks for a name, or waits with those who did.
fn join(ask: Ask, host: &str) -> oneshot::Receiver<LookUpResult> {
    let (sender, receiver) = oneshot::channel();
    let mut desk = desk();
    if let Some(waiting) = desk.waiting.get_mut(host) {
        // Who gave up needs no answer.
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        return receiver;
    }
    desk.waiting.insert(host.to_owned(), vec![sender]);
    desk.queue.push_back((host.to_owned(), ask));
    if desk.threads < THREADS_MAX {
        let worker = thread::Builder::new().name("look-up".to_owned());
        match worker.spawn(work) {
            Ok(_) => desk.threads += 1,
            // Somebody else will come to it; where there is nobody, nothing can be asked.
            Err(_) if desk.threads > 0 => {}
            Err(_) => {
                desk.queue.clear();
                desk.waiting.clear();
            }
        }
    }
    receiver
}

/// What a thread does: one name after the other, until nobody waits for any.
fn work() {
    loop {
        let (host, ask) = {
            let mut desk = desk();
            let Some(next) = desk.next() else {
                desk.threads -= 1;
                return;
            };
            next
        };
        let answer = ask(&host);
        let waiting = desk().waiting.remove(&host);
        for sender in waiting.into_iter().flatten() {
            // Who does not wait any more needs no answer.
            drop(sender.send(answer.clone()));
        }
    }
}

type LookUpResult = Result<Vec<IpAddr>, LookUpError>;
type Ask = fn(&str) -> LookUpResult;

/// Every look-up of the process: one desk, because the threads are the process's own.
#[derive(Default)]
struct ResolverQueue {
    /// Who waits for which name; each name is in the queue or with a thread.
    waiting: HashMap<String, Vec<oneshot::Sender<LookUpResult>>>,
    /// Names that no thread has taken yet.
    queue: VecDeque<(String, Ask)>,
    threads: usize,
    /// Answers that came too late.
    late: HashMap<String, Vec<IpAddr>>,
}

impl ResolverQueue {
    /// The next name that anybody waits for.
    fn next(&mut self) -> Option<(String, Ask)> {
        loop {
            let (host, ask) = self.queue.pop_front()?;
            let waiting = self.waiting.get(&host).map_or(&[][..], Vec::as_slice);
            if waiting.iter().any(|sender| !sender.is_closed()) {
                return Some((host, ask));
            }
            self.waiting.remove(&host);
        }
    }
}

fn desk() -> MutexGuard<'static, ResolverQueue> {
    static DESK: LazyLock<Mutex<ResolverQueue>> = LazyLock::new(Mutex::default);
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn system(host: &str) -> LookUpResult {
    match (host, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|found| found.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(LookUpError::Unknown) } else { Ok(addresses) }
        }
        Err(error) if is_passing(&error) => Err(LookUpError::Unanswered),
        Err(_) => Err(LookUpError::Unknown),
    }
}

/// Whether a look-up failed only for now. The code of `getaddrinfo` is lost in the standard
/// library, so its words are all there is: those of glibc and the BSDs, and those of musl.
fn is_passing(error: &io::Error) -> bool {
    let said = error.to_string();
    error.raw_os_error().is_some() || PASSING.iter().any(|words| said.contains(words))
}

const PASSING: [&str; 4] = ["emporary failure", "Try again", "System error", "Out of memory"];
/// Look-ups under way at once: a few names that hang must not keep the others waiting, and all of
/// them together must fit into the unit's `TasksMax=`.
const THREADS_MAX: usize = 8;
/// How long an answer that came too late is kept.
const LATE_KEPT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn local() -> Vec<IpAddr> {
        vec![IpAddr::from([127, 0, 0, 1])]
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        let check = async |host: &str, expected: &str| {
            let found = look_up(host, Duration::ZERO).await;
            assert_eq!(found, Ok(vec![expected.parse().unwrap()]), "{host}");
        };
        check("192.0.2.7", "192.0.2.7").await;
        check("[2001:db8::7]", "2001:db8::7").await;
        check("::1", "::1").await;
        assert!(look_up("localhost", LONG).await.unwrap().iter().all(IpAddr::is_loopback));
    }

    #[tokio::test]
    async fn who_asks_for_the_same_name_shares_a_look_up() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static GATE: LazyLock<Mutex<Option<mpsc::Receiver<()>>>> = LazyLock::new(Mutex::default);
        fn ask(_: &str) -> LookUpResult {
            ASKED.fetch_add(1, Ordering::SeqCst);
            GATE.lock().unwrap().as_ref().unwrap().recv().unwrap();
            Ok(local())
        }
        let (open, gate) = mpsc::channel();
        *GATE.lock().unwrap() = Some(gate);
        let all = (0..50).map(|_| tokio::spawn(look_up_by(ask, "shared.test", LONG)));
        let all: Vec<_> = all.collect();
        // One who gives up takes nothing from the others.
        let gave_up = look_up_by(ask, "shared.test", Duration::from_millis(1)).await;
        assert_eq!(gave_up, Err(LookUpError::Slow(Duration::from_millis(1))));
        open.send(()).unwrap();
        for one in all {
            assert_eq!(one.await.unwrap(), Ok(local()));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_answer_that_comes_too_late_is_there_for_who_asks_next() {
        static GATE: LazyLock<Mutex<Option<mpsc::Receiver<()>>>> = LazyLock::new(Mutex::default);
        fn slow(_: &str) -> LookUpResult {
            GATE.lock().unwrap().as_ref().unwrap().recv().unwrap();
            Ok(local())
        }
        fn never(_: &str) -> LookUpResult {
            Err(LookUpError::Unanswered)
        }
        let (open, gate) = mpsc::channel();
        *GATE.lock().unwrap() = Some(gate);
        let limit = Duration::from_millis(1);
        assert_eq!(look_up_by(slow, "late.test", limit).await, Err(LookUpError::Slow(limit)));
        open.send(()).unwrap();
        while !desk().late.contains_key("late.test") {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(look_up_by(never, "late.test", LONG).await, Ok(local()));
        let again = look_up_by(never, "late.test", LONG).await;
        assert_eq!(again, Err(LookUpError::Unanswered), "once");
    }

    #[test]
    fn no_look_up_holds_a_runtime_up() {
        fn hangs(_: &str) -> LookUpResult {
            thread::sleep(LONG);
            Ok(local())
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (over, ended) = mpsc::channel();
        thread::spawn(move || {
            let limit = Duration::from_millis(1);
            let found = runtime.block_on(look_up_by(hangs, "hangs.test", limit));
            drop(runtime);
            over.send(found).unwrap();
        });
        let found = ended.recv_timeout(LONG / 2).unwrap();
        assert_eq!(found, Err(LookUpError::Slow(Duration::from_millis(1))));
    }

    #[test]
    fn a_look_up_that_failed_for_now_is_told_from_one_of_a_name_that_is_not_there() {
        let check = |said: &str, expected| {
            let error = io::Error::other(format!("failed to lookup address information: {said}"));
            assert_eq!(is_passing(&error), expected, "for `{said}`");
        };
        check("Temporary failure in name resolution", true);
        check("Try again", true);
        check("Name or service not known", false);
        check("No address associated with hostname", false);
    }
}
