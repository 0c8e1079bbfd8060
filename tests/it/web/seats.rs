//! Strangers who say nothing, or too little: they are cut off, and keep nobody out meanwhile.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use avatar_watch::live::feed::Happening;
use avatar_watch::secret::Secret;
use avatar_watch::web::access::Rules;
use avatar_watch::web::server::Limits;

use super::own_desk::{OwnDesk, serve};
use super::*;
use crate::harness::http::Listener;

/// Limits of time that no test waits for.
fn patient(connections: usize) -> Limits {
    let ever = Duration::from_secs(3600);
    Limits { connections, head: ever, whole: ever, last: ever, grace: ever }
}

/// A connection that has said this, and waits.
fn stranger(page: SocketAddr, says: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page).unwrap();
    stream.write_all(says.as_bytes()).unwrap();
    stream
}

/// Whether the other side has ended it, whatever it said before.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(failure) if failure.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_silent_connections_keep_nobody_out() {
    let token = Some(Secret::new(TOKEN));
    let own = OwnDesk::with(Rules { token, ..Rules::default() });
    let connections = Limits::default().connections;
    let page = serve(own.desk.clone(), patient(connections));
    let refused = format!("GET / HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let half = &refused[..refused.len() - 4];
    let mut strangers: Vec<TcpStream> =
        ["", half, &refused].iter().cycle().take(300).map(|says| stranger(page, says)).collect();
    let bearer = format!("authorization: Bearer {TOKEN}");
    let answer = ask(page, "GET", "/", &[&bearer]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Whoever asked has a seat too, and each one more than there are took the oldest one's.
    let given_up = 300 + 1 - connections;
    for (number, stream) in strangers.iter_mut().enumerate() {
        if number < given_up {
            wait_until(&format!("the end of stranger {number}"), || is_ended(stream));
        } else {
            assert!(!is_ended(stream), "stranger {number} of 300");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_being_answered_keeps_the_seat() {
    let own = OwnDesk::new();
    let page = serve(own.desk.clone(), patient(3));
    let mut listeners: Vec<Listener> =
        (0..2).map(|_| Listener::open(page, "/api/v1/stream")).collect();
    for listener in &mut listeners {
        listener.wait_for("id: 0");
    }
    let mut strangers: Vec<TcpStream> = (0..10).map(|_| stranger(page, "")).collect();
    assert_eq!(get(page, "/healthz").status, 200);
    for stream in &mut strangers {
        wait_until("the end of a stranger", || is_ended(stream));
    }
    own.desk.feed.tell(tried);
    for listener in &mut listeners {
        assert_eq!(listener.wait_for("event: attempt")["channel"], "ops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_waits_while_all_are_being_answered() {
    let own = OwnDesk::new();
    let page = serve(own.desk.clone(), patient(1));
    let mut listener = Listener::open(page, "/api/v1/stream");
    listener.wait_for("id: 0");
    let waiting = tokio::task::spawn_blocking(move || get(page, "/healthz").status);
    own.desk.feed.tell(tried);
    listener.wait_for("event: attempt");
    drop(listener);
    // Whoever has gone is noticed when the next thing is said.
    wait_until("an answer for the newcomer", || {
        own.desk.feed.tell(tried);
        waiting.is_finished()
    });
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_more_is_cut_off() {
    let own = OwnDesk::new();
    let head = Duration::from_millis(200);
    let page = serve(own.desk.clone(), Limits { head, ..patient(8) });
    let whole = format!("GET /healthz HTTP/1.1\r\nhost: {page}\r\n\r\n");
    for says in ["", "GET /hea", &whole[..whole.len() - 2], &whole] {
        let mut stream = stranger(page, says);
        wait_until(&format!("the end after {says:?}"), || is_ended(&mut stream));
    }
}

fn tried() -> Happening {
    use avatar_watch::domain::channel::ChannelName;
    use avatar_watch::domain::delivery::{DeliveryState, Outcome, OutcomeClass, Scope};
    use avatar_watch::domain::event::EventId;
    use avatar_watch::domain::roll::Roll;
    use avatar_watch::domain::timestamp::Timestamp;
    Happening::Tried {
        event_id: EventId::mint(Timestamp::from_millis(0), Roll::new(7)),
        avatar_id: "a1".to_owned(),
        channel: ChannelName::parse("ops").unwrap(),
        attempt: 1,
        outcome: Outcome {
            class: OutcomeClass::Delivered,
            phase: "response",
            code: Some(204),
            retry_after: None,
            error: None,
            snippet: None,
            clock: None,
            scope: Scope::Channel,
            help: None,
        },
        state: DeliveryState::Delivered,
    }
}
