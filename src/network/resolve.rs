//! Resolves host names with the system's resolver (`getaddrinfo`), which blocks and cannot be
//! cancelled: a dead name server costs five seconds and more.
//!
//! It runs on a bounded number of threads of its own, which neither callers, nor the end of a
//! runtime, nor the end of the process wait for. Concurrent requests for a name share one lookup. A
//! result that is too late for its caller is kept for a while, so slow name servers cause delays,
//! not failures.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Why a name could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist.
    #[error("no such name")]
    Unknown,
    /// No name server gave a usable response.
    #[error("no name server answered")]
    Unanswered,
    /// The lookup took longer than this limit.
    #[error("the name servers did not answer within {0:?}")]
    TimedOut(Duration),
}

/// Resolves `host`, a name or an address, to at least one address.
///
/// # Errors
/// When there is no address, or none was found within `limit`.
pub async fn resolve(host: &str, limit: Duration) -> Result<Vec<IpAddr>, ResolveError> {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => resolve_with(system_resolver, host, limit).await,
    }
}

/// Resolves a name with a given resolver.
async fn resolve_with(resolver: Resolver, host: &str, limit: Duration) -> ResolveResult {
    if let Some(addresses) = lookups().late.remove(host) {
        return Ok(addresses);
    }
    let mut result = start_or_join(resolver, host);
    match timeout(limit, &mut result).await {
        // The thread panicked, which says nothing about the name.
        Ok(result) => result.unwrap_or(Err(ResolveError::Unanswered)),
        Err(_) => {
            keep_late(host.to_owned(), result);
            Err(ResolveError::TimedOut(limit))
        }
    }
}

/// Waits for a late result and keeps it for the next request.
fn keep_late(host: String, result: oneshot::Receiver<ResolveResult>) {
    tokio::spawn(async move {
        let Ok(Ok(addresses)) = result.await else { return };
        lookups().late.insert(host.clone(), addresses);
        sleep(LATE_KEPT).await;
        lookups().late.remove(&host);
    });
}

/// Starts a lookup, or joins one in progress.
fn start_or_join(resolver: Resolver, host: &str) -> oneshot::Receiver<ResolveResult> {
    let (sender, receiver) = oneshot::channel();
    let mut lookups = lookups();
    if let Some(waiting) = lookups.callers.get_mut(host) {
        // Callers that timed out need no result.
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        return receiver;
    }
    lookups.callers.insert(host.to_owned(), vec![sender]);
    lookups.pending.push_back((host.to_owned(), resolver));
    if lookups.threads < THREADS_MAX {
        let worker = thread::Builder::new().name("resolver".to_owned());
        match worker.spawn(resolver_thread) {
            Ok(_) => lookups.threads += 1,
            // Another thread will handle it; without any thread the lookup fails.
            Err(_) if lookups.threads > 0 => {}
            Err(_) => {
                lookups.pending.clear();
                lookups.callers.clear();
            }
        }
    }
    receiver
}

/// A resolver thread: handles one name after the other until the queue is empty.
fn resolver_thread() {
    loop {
        let (host, resolver) = {
            let mut lookups = lookups();
            let Some(next) = lookups.next() else {
                lookups.threads -= 1;
                return;
            };
            next
        };
        let result = resolver(&host);
        let waiting = lookups().callers.remove(&host);
        for sender in waiting.into_iter().flatten() {
            // The caller may have timed out.
            drop(sender.send(result.clone()));
        }
    }
}

type ResolveResult = Result<Vec<IpAddr>, ResolveError>;
type Resolver = fn(&str) -> ResolveResult;

/// State of all lookups; global, because the threads belong to the process.
#[derive(Default)]
struct Lookups {
    /// The callers by name; each name is pending or handled by a thread.
    callers: HashMap<String, Vec<oneshot::Sender<ResolveResult>>>,
    /// The names that no thread handles yet, each with its resolver.
    pending: VecDeque<(String, Resolver)>,
    threads: usize,
    /// Late results.
    late: HashMap<String, Vec<IpAddr>>,
}

impl Lookups {
    /// The next name with a waiting caller.
    fn next(&mut self) -> Option<(String, Resolver)> {
        loop {
            let (host, resolver) = self.pending.pop_front()?;
            let waiting = self.callers.get(&host).map_or(&[][..], Vec::as_slice);
            if waiting.iter().any(|sender| !sender.is_closed()) {
                return Some((host, resolver));
            }
            self.callers.remove(&host);
        }
    }
}

fn lookups() -> MutexGuard<'static, Lookups> {
    static QUEUE: LazyLock<Mutex<Lookups>> = LazyLock::new(Mutex::default);
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn system_resolver(host: &str) -> ResolveResult {
    match (host, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|found| found.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(ResolveError::Unknown) } else { Ok(addresses) }
        }
        Err(error) if is_transient(&error) => Err(ResolveError::Unanswered),
        Err(_) => Err(ResolveError::Unknown),
    }
}

/// Whether a lookup failed for a transient reason. The standard library drops the code of
/// `getaddrinfo`, so this compares the texts of glibc, the BSDs and musl.
fn is_transient(error: &io::Error) -> bool {
    let text = error.to_string();
    error.raw_os_error().is_some() || TRANSIENT.iter().any(|words| text.contains(words))
}

const TRANSIENT: [&str; 4] = ["emporary failure", "Try again", "System error", "Out of memory"];
/// Maximum number of concurrent lookups: more than a few slow names, and few enough for the unit's
/// `TasksMax=`.
const THREADS_MAX: usize = 8;
/// How long a late result is kept.
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
    async fn an_address_needs_no_lookup() {
        let check = async |host: &str, expected: &str| {
            let found = resolve(host, Duration::ZERO).await;
            assert_eq!(found, Ok(vec![expected.parse().unwrap()]), "{host}");
        };
        check("192.0.2.7", "192.0.2.7").await;
        check("[2001:db8::7]", "2001:db8::7").await;
        check("::1", "::1").await;
        assert!(resolve("localhost", LONG).await.unwrap().iter().all(IpAddr::is_loopback));
    }

    #[tokio::test]
    async fn concurrent_lookups_of_a_name_are_shared() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static GATE: LazyLock<Mutex<Option<mpsc::Receiver<()>>>> = LazyLock::new(Mutex::default);
        fn ask(_: &str) -> ResolveResult {
            ASKED.fetch_add(1, Ordering::SeqCst);
            GATE.lock().unwrap().as_ref().unwrap().recv().unwrap();
            Ok(local())
        }
        let (open, gate) = mpsc::channel();
        *GATE.lock().unwrap() = Some(gate);
        let all = (0..50).map(|_| tokio::spawn(resolve_with(ask, "shared.test", LONG)));
        let all: Vec<_> = all.collect();
        // A caller that times out does not affect the others.
        let timed_out = resolve_with(ask, "shared.test", Duration::from_millis(1)).await;
        assert_eq!(timed_out, Err(ResolveError::TimedOut(Duration::from_millis(1))));
        open.send(()).unwrap();
        for one in all {
            assert_eq!(one.await.unwrap(), Ok(local()));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_late_result_is_kept_for_the_next_request() {
        static GATE: LazyLock<Mutex<Option<mpsc::Receiver<()>>>> = LazyLock::new(Mutex::default);
        fn slow(_: &str) -> ResolveResult {
            GATE.lock().unwrap().as_ref().unwrap().recv().unwrap();
            Ok(local())
        }
        fn never(_: &str) -> ResolveResult {
            Err(ResolveError::Unanswered)
        }
        let (open, gate) = mpsc::channel();
        *GATE.lock().unwrap() = Some(gate);
        let limit = Duration::from_millis(1);
        assert_eq!(
            resolve_with(slow, "late.test", limit).await,
            Err(ResolveError::TimedOut(limit))
        );
        open.send(()).unwrap();
        while !lookups().late.contains_key("late.test") {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(resolve_with(never, "late.test", LONG).await, Ok(local()));
        let again = resolve_with(never, "late.test", LONG).await;
        assert_eq!(again, Err(ResolveError::Unanswered), "once");
    }

    #[test]
    fn no_lookup_blocks_the_end_of_a_runtime() {
        fn hangs(_: &str) -> ResolveResult {
            thread::sleep(LONG);
            Ok(local())
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let limit = Duration::from_millis(1);
            let found = runtime.block_on(resolve_with(hangs, "hangs.test", limit));
            drop(runtime);
            sender.send(found).unwrap();
        });
        let found = ended.recv_timeout(LONG / 2).unwrap();
        assert_eq!(found, Err(ResolveError::TimedOut(Duration::from_millis(1))));
    }

    #[test]
    fn transient_failures_differ_from_unknown_names() {
        let check = |text: &str, expected| {
            let error = io::Error::other(format!("failed to lookup address information: {text}"));
            assert_eq!(is_transient(&error), expected, "for `{text}`");
        };
        check("Temporary failure in name resolution", true);
        check("Try again", true);
        check("Name or service not known", false);
        check("No address associated with hostname", false);
    }
}
