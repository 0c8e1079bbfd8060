//! Receives the webhooks of avatar-watch: verifies, stores, answers, and processes afterwards.
//!
//! A message gets 204 once it is in the table `inbox`. Its id is unique there, so a repeat gets 204
//! and no second row. Messages are processed afterwards, from the table, each in one transaction
//! that also sets `done_at`. Whenever this program is killed, no message is lost, and none is
//! processed twice.
//!
//! Environment: `WEBHOOK_SECRETS` (`whsec_…`; several, separated by blanks, during a rotation),
//! `LISTEN` (127.0.0.1:8080), `DATABASE` (news.db).

use std::env;
use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use serde_json::Value;
use standardwebhooks::Webhook;
use tiny_http::{Method, Request, Response, Server};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let secrets = env::var("WEBHOOK_SECRETS")?;
    let hooks: Vec<Webhook> =
        secrets.split_whitespace().map(Webhook::new).collect::<Result<_, _>>()?;
    let hooks = Arc::new(hooks);
    database()?.execute_batch(SCHEMA)?;
    let (wakeup, arrived) = channel();
    let worker = database()?;
    thread::spawn(move || work_forever(worker, &arrived));

    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let server = Arc::new(Server::http(listen)?);
    println!("listening on {}", server.server_addr());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (server, hooks, wakeup) = (server.clone(), hooks.clone(), wakeup.clone());
            let db = database()?;
            Ok(thread::spawn(move || {
                for request in server.incoming_requests() {
                    receive(request, &hooks, &db, &wakeup);
                }
            }))
        })
        .collect::<Fallible<_>>()?;
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn database() -> Fallible<Connection> {
    let db = Connection::open(env::var("DATABASE").unwrap_or_else(|_| "news.db".to_owned()))?;
    db.busy_timeout(Duration::from_secs(20))?;
    // A message that got 204 survives a power loss.
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    Ok(db)
}

fn receive(mut request: Request, hooks: &[Webhook], db: &Connection, wakeup: &Sender<()>) {
    let code = accept(&mut request, hooks, db);
    // If the response is lost, the sender retries.
    let _ = request.respond(Response::empty(code));
    let _ = wakeup.send(());
}

/// Verifies and stores a message; returns the status of the response.
fn accept(request: &mut Request, hooks: &[Webhook], db: &Connection) -> u16 {
    if *request.method() != Method::Post {
        return 405;
    }
    let mut headers = HeaderMap::new();
    for header in request.headers() {
        let name = HeaderName::from_bytes(header.field.as_str().as_str().as_bytes());
        let value = HeaderValue::from_bytes(header.value.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    let mut body = Vec::new();
    if request.as_reader().take(BODY_MAX + 1).read_to_end(&mut body).is_err() {
        return 400;
    }
    if body.len() as u64 > BODY_MAX {
        return 413;
    }
    // Signed with one of the secrets, and at most five minutes old; this also proves UTF-8.
    let genuine = hooks.iter().any(|hook| hook.verify(&body, &headers).is_ok());
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let (true, Some(id), Ok(body)) = (genuine, id, str::from_utf8(&body)) else {
        return 401;
    };
    match db.execute(KEEP, (id, body, now())) {
        Ok(_) => 204,
        Err(error) => {
            println!("not stored: {error}");
            503 // it will be retried
        }
    }
}

fn work_forever(mut db: Connection, arrived: &Receiver<()>) {
    loop {
        if let Err(error) = work(&mut db) {
            println!("will try again: {error}");
        }
        let _ = arrived.recv_timeout(Duration::from_secs(10));
        while arrived.try_recv().is_ok() {}
    }
}

/// Processes the stored messages, oldest first. A message that fails, and all after it, stay.
fn work(db: &mut Connection) -> Fallible<()> {
    loop {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row: Option<(i64, String)> =
            transaction.query_row(NEXT, (), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((seq, body)) = row else {
            transaction.execute("DELETE FROM inbox WHERE done_at < ?", [now() - KEEP_IDS_S])?;
            transaction.commit()?;
            return Ok(());
        };
        handle(&transaction, &serde_json::from_str(&body)?)?;
        transaction.execute("UPDATE inbox SET done_at = ? WHERE seq = ?", (now(), seq))?;
        transaction.commit()?;
    }
}

/// Processes one event; replace it by your own code. Here: a table of the avatars' statuses.
fn handle(transaction: &Transaction<'_>, event: &Value) -> Fallible<()> {
    let (kind, data) = (event["type"].as_str().unwrap_or_default(), &event["data"]);
    // Unknown types and fields are no error.
    let change =
        (data["avatar"]["id"].as_str(), data["status"].as_str(), data["sequence"].as_i64());
    match change {
        (Some(id), Some(status), Some(sequence)) if kind.starts_with("avatar.") => {
            transaction.execute(CHANGE, (id, status, sequence))?;
        }
        _ => println!("not about a change of an avatar: {kind}"),
    }
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

const THREADS: usize = 4;
const BODY_MAX: u64 = 1 << 20;
/// Operators can send dead letters again for as long as avatar-watch keeps them, 90 days and more.
const KEEP_IDS_S: i64 = 100 * 24 * 3600;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS inbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
  id TEXT NOT NULL UNIQUE,                -- the `webhook-id`
  body TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  done_at INTEGER);
CREATE INDEX IF NOT EXISTS undone ON inbox(seq) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS avatars(
  id TEXT PRIMARY KEY, status TEXT NOT NULL, sequence INTEGER NOT NULL, changes INTEGER NOT NULL);
";
/// Stores a message, unless it is a repeat.
const KEEP: &str =
    "INSERT INTO inbox(id, body, received_at) VALUES (?, ?, ?) ON CONFLICT(id) DO NOTHING";
const NEXT: &str = "SELECT seq, body FROM inbox WHERE done_at IS NULL ORDER BY seq LIMIT 1";
/// An older event changes nothing.
const CHANGE: &str = "
INSERT INTO avatars(id, status, sequence, changes) VALUES (?, ?, ?, 1)
ON CONFLICT(id) DO UPDATE SET
  status = excluded.status, sequence = excluded.sequence, changes = changes + 1
WHERE excluded.sequence > sequence";
