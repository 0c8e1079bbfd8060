//! Many readers: they run one at a time and do not block the writer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::store::tables::channels::ChannelTarget;
use avatar_watch::web::http::server::ServerLimits;
use avatar_watch::web::state::READERS_MAX;

use super::test_server::{TestServer, serve};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn readers_run_one_at_a_time_and_do_not_block_the_writer() {
    const CROWD: usize = 12;
    let mut own = TestServer::new();
    let (inside, came_in) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let (gate, at_once) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&at_once);
    // Requested while another one reads.
    own.state.progress = Arc::new(move |_| {
        inside.send(counted.fetch_add(1, Ordering::SeqCst) + 1).unwrap();
        gate.lock().unwrap().recv().unwrap();
        counted.fetch_sub(1, Ordering::SeqCst);
        Vec::new()
    });
    let page = serve(own.state.clone(), ServerLimits::default());
    let crowd: Vec<_> =
        (0..CROWD).map(|_| tokio::task::spawn_blocking(move || get(page, "/").status)).collect();
    let mut most = came_in.recv().unwrap();
    assert_eq!(own.state.readers.available_permits(), READERS_MAX - 1);
    for number in 0..CROWD {
        // A commit succeeds while one of them reads.
        let name = ChannelName::parse(&format!("c{number}")).unwrap();
        let channel = ChannelTarget { name, fingerprint: "test".to_owned() };
        own.store.register_channels(vec![channel], Timestamp::from_millis(0)).await.unwrap();
        let_go.send(()).unwrap();
        if number + 1 < CROWD {
            most = most.max(came_in.recv().unwrap());
        }
    }
    for asked in crowd {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(most, READERS_MAX, "readers at once");
}
