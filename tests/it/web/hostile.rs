//! Hostile requests: on every route, and as raw bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use avatar_watch::domain::read_access::ReadAccess;
use avatar_watch::secret::Secret;
use avatar_watch::web::http::auth::AccessPolicy;
use avatar_watch::web::http::server::ServerLimits;

use super::test_server::{HINT_TOKEN, TestServer, serve};
use super::*;

/// A server that permits reading on this machine, and requires the token for the rest.
fn test_server() -> TestServer {
    let token = Some(Secret::new(TOKEN));
    TestServer::with(AccessPolicy { token, read: ReadAccess::Local, ..AccessPolicy::default() })
}

/// Sends bytes and reads until the server closes the connection.
fn raw(page: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(page).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // A client that is disconnected while it sends may miss the response.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all responses to these bytes.
fn statuses(page: SocketAddr, bytes: &[u8]) -> Vec<String> {
    let answer = raw(page, bytes);
    let lines = answer.lines().filter(|line| line.starts_with("HTTP/1."));
    lines.map(|line| line[9..12].to_owned()).collect()
}

/// Every route with its method.
fn routes() -> Vec<(&'static str, String)> {
    let hint = format!("/hints/argil/{HINT_TOKEN}");
    let script = format!("/assets/{}/page.js", env!("CARGO_PKG_VERSION"));
    let reads = [
        "/",
        "/avatars/a1",
        "/deliveries",
        "/deliveries/dlv_0",
        "/api/v1/openapi.json",
        "/api/v1/status",
        "/api/v1/avatars",
        "/api/v1/avatars/a1",
        "/api/v1/avatars/a1/transitions",
        "/api/v1/transitions",
        "/api/v1/deliveries",
        "/api/v1/deliveries/dlv_0",
        "/api/v1/channels",
        "/api/v1/stream",
        "/metrics",
        "/healthz",
        "/readyz",
        "/nothing",
        "/api/v1/nothing",
        &script,
    ];
    let reads = reads.map(|path| ("GET", path.to_owned()));
    let posts = CHANGES.map(|path| ("POST", path.to_owned()));
    reads.into_iter().chain(posts).chain([("POST", hint)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_checks_the_host_and_repeated_headers() {
    let (_own, page) = test_server().serve(ServerLimits::default());
    for (method, path) in routes() {
        let check = |version: &str, headers: &str, status: &str| {
            let request =
                format!("{method} {path} {version}\r\nconnection: close\r\n{headers}\r\n");
            assert_eq!(statuses(page, request.as_bytes()), [status], "{request}");
        };
        let ours = format!("host: {page}\r\n");
        check("HTTP/1.1", "host: evil.example\r\n", "421");
        check("HTTP/1.1", &format!("{ours}{ours}"), "400");
        check("HTTP/1.1", "", "400");
        for name in ["origin", "authorization", "sec-fetch-site"] {
            check("HTTP/1.1", &format!("{ours}{name}: x\r\n{name}: x\r\n"), "400");
        }
        let is_health = ["/healthz", "/readyz"].contains(&path.as_str());
        check("HTTP/1.0", "", if is_health { "200" } else { "400" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_requires_the_token_and_our_own_origin() {
    let (_own, page) = test_server().serve(ServerLimits::default());
    for path in CHANGES {
        let check = |headers: &[&str], status: u16| {
            assert_eq!(ask(page, "POST", path, headers).status, status, "{path} {headers:?}");
        };
        check(&[], 401);
        check(&["x-http-method-override: GET"], 401);
        check(&[BEARER, "origin: null"], 403);
        check(&[BEARER, "origin: http://evil.example"], 403);
        check(&[BEARER, &format!("origin: http://{page}.evil.example")], 403);
        check(&[BEARER, "sec-fetch-site: cross-site"], 403);
        check(&[BEARER, "sec-fetch-site: same-site"], 403);
        // An authorized change finds no such subject.
        let ours = format!("origin: http://{page}");
        let answer = ask(page, "POST", path, &[BEARER, &ours, "sec-fetch-site: same-origin"]);
        assert!([404, 503].contains(&answer.status), "{path}: {}", answer.status);
    }
    for method in ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "BREW"] {
        let answer = ask(page, method, "/api/v1/status", &[BEARER]);
        assert_eq!(answer.status, 405, "{method}");
        assert!(!answer.body.contains(TOKEN), "{method}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_path_is_readable_without_the_token() {
    let token = Some(Secret::new(TOKEN));
    let (_own, page) = TestServer::with(AccessPolicy { token, ..AccessPolicy::default() })
        .serve(ServerLimits::default());
    for (path, status) in [
        ("/", 401),
        ("/?token=canary-token-9c0e", 401),
        ("//", 404),
        ("/./", 404),
        ("/healthz/../metrics", 404),
        ("/healthz/..%2fmetrics", 404),
        ("/healthz/%2e%2e/metrics", 404),
        ("/assets/../metrics", 404),
        ("/hints/argil/../../metrics", 404),
        ("/hints/argil/..%2f..%2fmetrics", 202),
        ("//metrics", 404),
        ("/metrics/", 404),
        ("/METRICS", 404),
        ("/%6detrics", 404),
        ("/metrics%00", 404),
        ("/metrics;a=b", 404),
        ("/metrics?", 401),
        ("/api/v1//status", 404),
        ("/api/v1/avatars/..", 401),
        ("/api/v1/stream", 401),
        ("/api/v1/openapi.json", 401),
    ] {
        let answer = ask(page, "GET", path, &[]);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(!answer.body.contains("avatar_watch_"), "{path}: {}", answer.body);
    }
}

/// Request smuggling: each request hides a second one.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_in_another() {
    let own = test_server();
    let header_timeout = Duration::from_millis(300);
    let page = serve(own.state.clone(), ServerLimits { header_timeout, ..ServerLimits::default() });
    let second = format!("GET /healthz HTTP/1.1\r\nhost: {page}\r\n\r\n");
    let length = second.len();
    let hex = format!("{length:x}");
    let mut asked = Vec::new();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n0\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding : chunked\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: xchunked\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked, identity\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding:\r\n chunked\r\n\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked\n\r\n0\r\n\r\n"),
        "transfer-encoding: identity\r\n\r\n".to_owned(),
        format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n\r\n"),
        format!("content-length: 0, {length}\r\n\r\n"),
        format!("content-length: +{length}\r\n\r\n"),
        "content-length: -1\r\n\r\n".to_owned(),
        "content-length: 0x0\r\n\r\n".to_owned(),
        "content-length: 99999999999999999999\r\n\r\n".to_owned(),
        "content-length : 0\r\n\r\n".to_owned(),
        " content-length: 0\r\n\r\n".to_owned(),
        "a: b\r content-length: 0\r\n\r\n".to_owned(),
        "a: b\0\r\n\r\n".to_owned(),
        "transfer-encoding: chunked\r\n\r\n-0\r\n\r\n".to_owned(),
        "transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n".to_owned(),
        "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n".to_owned(),
        format!("transfer-encoding: chunked\r\n\r\n{hex};a=\"\n0\r\n\r\n"),
        format!("transfer-encoding: chunked\r\n\r\n{hex}\n\r\n0\r\n\r\n"),
        format!("content-length: {length}\r\n\r\n"),
        format!("expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"),
    ] {
        for first in [&format!("POST /hints/argil/{HINT_TOKEN}"), "GET /", "POST /nothing"] {
            let request = format!("{first} HTTP/1.1\r\nhost: {page}\r\n{headers}{second}");
            asked.push(tokio::task::spawn_blocking(move || {
                let answers = raw(page, request.as_bytes());
                (request, answers)
            }));
        }
    }
    for asked in asked {
        let (request, answers) = asked.await.unwrap();
        let count = answers.matches("HTTP/1.1 ").count();
        let interim = answers.matches("HTTP/1.1 100 ").count();
        assert!(count - interim <= 1, "{request}\n-----\n{answers}");
        assert!(!answers.contains("\"healthy\""), "{request}\n-----\n{answers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_gets_a_well_formed_response() {
    let (_own, page) = test_server().serve(ServerLimits::default());
    let long = "x".repeat(4000);
    for odd in [
        "'",
        "%22",
        "%27%20OR%201=1--",
        "%00",
        "%0d%0aset-cookie:%20a=b",
        "..%2f..",
        "..",
        "%c3%28",
        "%f0%9f%92%a9",
        "-1",
        "0",
        "99999999999999999999",
        "1e9",
        "NaN",
        "%25",
        "%ff",
        "a%3Bb",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "%1b%5b2J",
        "*",
        &long,
    ] {
        for template in [
            "/avatars/{}",
            "/deliveries/{}",
            "/deliveries?state={}",
            "/deliveries?before={}",
            "/deliveries?channel={}&avatar={}",
            "/?{}={}",
            "/api/v1/avatars/{}",
            "/api/v1/avatars/{}/transitions",
            "/api/v1/avatars/a1/transitions?before={}",
            "/api/v1/avatars?after={}",
            "/api/v1/avatars?limit={}",
            "/api/v1/avatars?status={}",
            "/api/v1/transitions?after={}",
            "/api/v1/transitions?before={}",
            "/api/v1/deliveries/{}",
            "/api/v1/deliveries?state={}&before={}",
            "/api/v1/deliveries?channel={}&avatar={}",
            "/api/v1/channels?{}={}",
            "/api/v1/stream?after={}",
        ] {
            let path = template.replace("{}", odd);
            let method = if path.contains("/stream") { "HEAD" } else { "GET" };
            check_plain(&path, &ask(page, method, &path, &[]));
        }
    }
    for id in
        ["'", "\"", "1-x", "-1", "99999999999999999999", "\u{e9}", "1;drop", "2-0123456789abcdef"]
    {
        let header = format!("last-event-id: {id}");
        check_plain(id, &ask(page, "HEAD", "/api/v1/stream", &[&header]));
    }
}

#[track_caller]
fn check_plain(asked: &str, answer: &Answer) {
    assert!([200, 400, 404].contains(&answer.status), "{asked}: {answer:?}");
    for header in ["set-cookie", "location", "access-control-allow-origin"] {
        assert_eq!(answer.header(header), "", "{asked}: {answer:?}");
    }
    for raw in ["\0", "\u{1b}", "SQL", "sql"] {
        assert!(!answer.body.contains(raw), "{asked}: {}", answer.body);
    }
    // Browsers must not sniff JSON as HTML: `nosniff`.
    let is_page = answer.header("content-type").starts_with("text/html");
    assert!(!is_page || !answer.body.contains("<script>alert"), "{asked}: {}", answer.body);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_heads_and_bodies_are_rejected() {
    let (_own, page) = test_server().serve(ServerLimits::default());
    let check = |request: String, expected: &str| {
        assert_eq!(statuses(page, request.as_bytes()), [expected], "{}", &request[..60]);
    };
    check(format!("GET /{} HTTP/1.1\r\nhost: {page}\r\n\r\n", "x".repeat(200_000)), "431");
    let many: String = (0..1000).map(|number| format!("a{number}: b\r\n")).collect();
    check(format!("GET / HTTP/1.1\r\nhost: {page}\r\n{many}\r\n"), "431");
    let large = format!("a: {}\r\n", "x".repeat(800_000));
    check(format!("GET / HTTP/1.1\r\nhost: {page}\r\n{large}\r\n"), "431");
    assert!(statuses(page, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").is_empty(), "no HTTP/2 is spoken");
    let hint = "POST /hints/argil/ HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n";
    for junk in ["\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n", "\0\0\0\0\r\n\r\n", hint] {
        assert_eq!(statuses(page, junk.as_bytes()), ["400"], "{junk:?}");
    }
    assert_eq!(get(page, "/healthz").status, 200, "the others are served");
}

/// The methods that change something.
const CHANGES: [&str; 6] = [
    "/avatars/a1/poll",
    "/deliveries/dlv_0/retry",
    "/channels/ops/test",
    "/api/v1/avatars/a1/poll",
    "/api/v1/deliveries/dlv_0/retry",
    "/api/v1/channels/ops/test",
];
