//! The two ends of every benchmark: a server on loopback, and a config for the real daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avatar_watch::demo::fake_server::{self, Request, Response};
use tokio::net::TcpListener;

/// Serves for as long as the runtime lives; its origin, such as `http://127.0.0.1:1234`.
pub(crate) async fn serve(
    respond: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let respond = move |request: Request| std::future::ready(respond(&request));
    tokio::spawn(fake_server::serve(listener, Arc::default(), respond));
    origin
}

/// Writes a config that the daemon accepts.
pub(crate) fn configure(folder: &Path, config: &str) -> PathBuf {
    let path = folder.join("avatar-watch.toml");
    fs::write(&path, config).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}
