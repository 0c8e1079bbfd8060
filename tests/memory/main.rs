//! Measures the memory that hostile responses take at the limits of their readers, with a counting
//! allocator.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use avatar_watch::argil::client::{ApiClientSpec, Client};
use avatar_watch::config::config_file_trust::ConfigFile;
use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::daemon::config::wiring;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::delivery::channel_name::{Accepts, ChannelName};
use avatar_watch::domain::delivery::template_tree::TemplateTree;
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::mail::address::MailAddress;
use avatar_watch::domain::mail::domain::MailDomain;
use avatar_watch::domain::mail::options::SmtpTls;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::channel::Channel;
use avatar_watch::notify::email::channel::Email;
use avatar_watch::notify::email::config::{
    EmailSpec, MailStyle, PhaseTimeouts, SmtpSpec, TransportConfig,
};
use avatar_watch::notify::format::kind::Format;
use avatar_watch::notify::format::template::Template;
use avatar_watch::notify::message::{OutboundMessage, RenderedMessage};
use avatar_watch::notify::message_context::MessageContext;
use avatar_watch::notify::webhook::sender::{Webhook, WebhookSpec};
use avatar_watch::secret::Secret;
use avatar_watch::web::endpoints::hints;
use flate2::Compression;
use flate2::write::GzEncoder;
use peak_alloc::PeakAlloc;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// No reader may take more for what it throws away.
const LIMIT: usize = 4 * MIB;
const BROTLI_LIMIT: usize = 5 * MIB;
/// What a list may take of which everything is kept: its own bound, and room to grow.
const KEPT_LIMIT: usize = 16 * MIB;
/// The author of the config is trusted, and the library makes a tree of all of it: together
/// with the rest it stays below what the unit allows (`MemoryMax`).
const CONFIG_LIMIT: usize = 112 * MIB;
/// What an avatar of the config may take, in bytes.
const AVATAR_LIMIT: usize = 500;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn what_is_thrown_away_takes_no_memory() {
    let tokio = Builder::new_current_thread().enable_all().build().unwrap();
    // One-time setup is not counted.
    poll(&tokio, Body::plain("{", "}", "", 1));
    let mut table = String::new();
    let mut check = |what: &str, limit: usize, measured: usize| {
        writeln!(table, "{:>9} KiB of {:>6}  {what}", measured / KIB, limit / KIB).unwrap();
        assert!(measured > 0 && measured < limit, "{what}\n{table}");
    };
    let element = r#"{"id":"a","status":"IDLE","extras":{"a":"b","c":{"d":["e"]}}},"#;
    for (what, body) in [
        ("empty objects", Body::plain("[", "{},", "{}]", 11 * MIB)),
        ("zeros", Body::plain("[", "0,", "0]", 4 * MIB)),
        ("texts", Body::plain("[", "\"\",", "0]", 11 * MIB)),
        ("empty lists", Body::plain("[", "[],", "[]]", 11 * MIB)),
        ("the same id", Body::plain("[", element, "0]", MIB / 2)),
        ("other elements without a status", Body::numbered("{\"id\":\"N\"},", 30_000)),
        ("one deep element", Body::plain("", "[", "", 33 * MIB)),
        ("one wide element", Body::plain("[[", "0,", "0]]", 4 * MIB)),
        ("one object", Body::plain("[{", "\"k\":\"v\",", "\"k\":0}]", MIB)),
        ("one text", Body::plain("[\"", "x", "\"]", 33 * MIB)),
        ("one key", Body::plain("[{\"", "x", "\":0}]", 33 * MIB)),
        ("one number", Body::plain("[", "1", "]", 33 * MIB)),
        ("blanks", Body::plain("", " ", "[]", 8 * MIB)),
        ("blanks, as gzip", Body::gzip("", " ", "[]", 33 * MIB)),
        ("empty objects, as gzip", Body::gzip("[", "{},", "{}]", 2_790_000)),
        ("a web page", Body::plain("<html>", "x", "", 33 * MIB)),
        ("an error of lists", Body::plain("[", "[],", "[]]", MIB).with_status(500)),
    ] {
        check(&format!("list: {what}"), LIMIT, list(&tokio, body));
    }
    // Its usual window; this coding is never requested.
    let brotli = || Body::coded("br", BROTLI_ZEROS.to_vec());
    check("list: brotli", BROTLI_LIMIT, list(&tokio, brotli()));
    check("avatar: brotli", BROTLI_LIMIT, poll(&tokio, brotli()));
    check("receiver: brotli", BROTLI_LIMIT, deliver(&tokio, brotli()));
    let small = "{\"id\":\"N\",\"status\":\"A\"},";
    let large = format!("{{\"id\":\"N\",\"status\":\"A\",\"name\":\"{}\"}},", "x".repeat(1000));
    let pair = "{\"id\":\"N\",\"status\":\"A\",\"extras\":{\"a\":\"b\"}},";
    for (what, element) in [("small", small), ("large", &large), ("with pairs", pair)] {
        let body = Body::numbered(element, 30_000);
        check(&format!("list: kept, {what}"), KEPT_LIMIT, list(&tokio, body));
    }
    for (what, body) in [
        ("empty lists", Body::plain("{\"x\":[", "[],", "[]]}", 87_000)),
        ("empty objects", Body::plain("{\"x\":[", "{},", "{}]}", 87_000)),
        ("one text", Body::plain("{\"name\":\"", "x", "\"}", 262_000)),
        ("pairs", Body::plain("{\"extras\":{", "\"k\":\"v\",", "\"k\":0}}", 32_000)),
        ("depth", Body::plain("", "{\"extras\":", "", 26_000)),
        ("gzip", Body::gzip("", " ", "", 33 * MIB)),
        ("an error of lists", Body::plain("[", "[],", "[]]", 87_000).with_status(500)),
        ("endless", Body::plain("", "x", "", 33 * MIB).with_status(404)),
    ] {
        check(&format!("avatar: {what}"), LIMIT, poll(&tokio, body));
    }
    for (what, body) in [
        ("empty lists", Body::plain("[", "[],", "[]]", 87_000)),
        ("empty objects", Body::plain("{\"x\":[", "{},", "{}]}", 20_000)),
        ("depth", Body::plain("", "[", "", 87_000)),
        ("gzip", Body::gzip("", " ", "", 33 * MIB)),
        ("an error", Body::plain("{\"x\":[", "{},", "{}]}", 20_000).with_status(400)),
    ] {
        check(&format!("receiver: {what}"), LIMIT, deliver(&tokio, body));
    }
    for (what, reply) in [
        ("lines without an end", "220-x\r\n".repeat(8 * MIB / 7)),
        ("one line without an end", format!("220 {}", "x".repeat(8 * MIB))),
        ("no digits", "x\r\n".repeat(8 * MIB / 3)),
    ] {
        check(&format!("mail server: {what}"), LIMIT, mail(&tokio, reply.into_bytes()));
    }
    for (what, begin, piece) in [
        ("lists", "a = [", "[],\n"),
        ("tables", "a = [", "{},\n"),
        ("numbers", "a = [", "0,"),
        ("sections", "", "[[a]]\n"),
        ("avatars", "", "[[avatars]]\nid='a'\n"),
        ("unknown keys", "", "[avatars.b]\n"),
        ("comments", "", "#\n"),
    ] {
        let end = if begin.is_empty() { "" } else { "]" };
        let text = format!("{begin}{}{end}", piece.repeat(MIB / piece.len() - 9));
        check(&format!("config: {what}"), CONFIG_LIMIT, config(&text));
    }
    for (what, piece) in [("lists", "[],"), ("objects", "{},"), ("pairs", "{\"a\":0},")] {
        let body = format!("[{}0]", piece.repeat(16 * KIB / piece.len()));
        check(&format!("hint: {what}"), LIMIT, hint(&body));
    }
    for text in [
        "{{ range(999) }}",
        "{{ range(999)|list|string|upper }}!",
        "{{ range(999)|join(id) }}!",
        "{{ range(999) + range(999) + range(999) ~ id }}!",
        "{{ id|replace('', id)|replace('', id)|replace('', id)|replace('', id)|replace('', id) }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ id|indent(99999999) }}{{ id|center(99999999) }}",
        "{% for a in range(999) %}{% for b in range(999) %}{{ b }}{% endfor %}{% endfor %}",
        "{{ range(999)|map('string')|map('list')|map('list')|list|string|length }}",
        "{{ data|items|list|string|list|map('upper')|join(id)|length }}",
    ] {
        check(&format!("template: {text}"), LIMIT, template(text));
    }
    let operators = format!("{{{{ {}1 }}}}", "- ".repeat(4000));
    check("template: operators", LIMIT, template(&operators));
    let kept = kept_avatar();
    assert!(kept < AVATAR_LIMIT, "an avatar of the config takes {kept} bytes");
    println!("{table}{kept:>9} bytes of {AVATAR_LIMIT:>4}  an avatar of the config");
}

/// The bytes that an avatar of the config takes while the daemon runs: in the settings and in what
/// is built of them.
fn kept_avatar() -> usize {
    const AVATARS: usize = 10_000;
    let mut text = "argil.api_key = 'k'\nargil.base_url = 'http://127.0.0.1:9/v1'\n".to_owned();
    for number in 0..AVATARS {
        writeln!(text, "[[avatars]]\nid = '{number:08}-0d44-4b50-8888-8dd25736052a'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = MEMORY.current_usage();
    let settings = file::load(&ConfigFile::named(&path), &Environment::default()).unwrap();
    let built = wiring::build(&settings, None).unwrap();
    let kept = MEMORY.current_usage() - before;
    drop((settings, built));
    kept / AVATARS
}

/// What an answer is.
struct Body {
    status: u16,
    coding: &'static str,
    begin: Vec<u8>,
    piece: Vec<u8>,
    pieces: usize,
    end: Vec<u8>,
}

impl Body {
    fn plain(begin: &str, piece: &str, end: &str, pieces: usize) -> Self {
        let [begin, piece, end] = [begin, piece, end].map(|text| text.as_bytes().to_vec());
        Self { status: 200, coding: "identity", begin, piece, pieces, end }
    }

    /// A list of elements with other numbers in the place of `N`.
    fn numbered(element: &str, count: usize) -> Self {
        let elements: String = (0..count).map(|n| element.replace('N', &n.to_string())).collect();
        Self::plain(&format!("[{elements}0]"), "", "", 0)
    }

    fn gzip(begin: &str, piece: &str, end: &str, pieces: usize) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(begin.as_bytes()).unwrap();
        let many = piece.repeat(KIB);
        (0..pieces / KIB).for_each(|_| encoder.write_all(many.as_bytes()).unwrap());
        encoder.write_all(end.as_bytes()).unwrap();
        Self::coded("gzip", encoder.finish().unwrap())
    }

    fn coded(coding: &'static str, begin: Vec<u8>) -> Self {
        Self { status: 200, coding, begin, piece: Vec::new(), pieces: 0, end: Vec::new() }
    }

    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn send(&self, to: &mut TcpStream) -> std::io::Result<()> {
        let Self { status, coding, .. } = self;
        let head = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-encoding: {coding}\r\n\r\n"
        );
        to.write_all(head.as_bytes())?;
        to.write_all(&self.begin)?;
        let per_write = (KIB * 16 / self.piece.len().max(1)).max(1);
        let many = self.piece.repeat(per_write);
        for _ in 0..self.pieces / per_write {
            to.write_all(&many)?;
        }
        to.write_all(&self.piece.repeat(self.pieces % per_write))?;
        to.write_all(&self.end)
    }
}

/// A server of one connection.
struct Server {
    address: String,
    serving: thread::JoinHandle<()>,
}

impl Server {
    fn start(talk: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = thread::spawn(move || talk(&mut listener.accept().unwrap().0));
        Self { address, serving }
    }

    /// Gives that answer to one request.
    fn of(body: Body) -> Self {
        Self::start(move |stream| {
            let _ = stream.read(&mut [0; 4096]);
            // A client closes the connection at its limit.
            let _ = body.send(stream);
        })
    }

    /// The most memory that it takes beyond what there was before, in bytes, to ask it.
    fn peak<T>(self, tokio: &Runtime, ask: impl Future<Output = T>) -> usize {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        drop(tokio.block_on(ask));
        let peak = MEMORY.peak_usage().saturating_sub(before);
        // The connection is let go of by the runtime.
        tokio.block_on(async {
            while !self.serving.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        self.serving.join().unwrap();
        peak
    }
}

fn client(server: &Server) -> Client {
    let base_url = format!("http://{}/v1", server.address).parse().unwrap();
    let timeout = Duration::from_secs(60);
    Client::new(ApiClientSpec { base_url, api_key: Secret::new("k3y"), timeout }).unwrap()
}

fn list(tokio: &Runtime, body: Body) -> usize {
    let server = Server::of(body);
    let client = client(&server);
    server.peak(tokio, async move { client.list_avatars(NOW).await })
}

fn poll(tokio: &Runtime, body: Body) -> usize {
    let server = Server::of(body);
    let client = client(&server);
    let id = AvatarId::parse("a1").unwrap();
    server.peak(tokio, async move { client.get_avatar(&id, NOW).await })
}

fn ping(channel: ChannelName) -> Event {
    Event {
        id: EventId::mint(NOW, RandomBits::new(1)),
        kind: EventKind::TestPing,
        occurred_at: NOW,
        subject: Subject::Ping { channel },
    }
}

fn message(channel: &Channel) -> OutboundMessage {
    let event = ping(ChannelName::parse("ops").unwrap());
    let draft: RenderedMessage = channel.render(&event, NOW, RandomBits::new(2)).remove(0);
    OutboundMessage {
        delivery_id: draft.id,
        event_id: event.id,
        recipient: draft.recipient,
        content_type: draft.content_type,
        body: draft.body,
    }
}

fn deliver(tokio: &Runtime, body: Body) -> usize {
    let server = Server::of(body);
    let url = Secret::new(format!("http://{}/hook", server.address));
    let spec = WebhookSpec::new(url, Vec::new(), Duration::from_secs(60));
    let spec = WebhookSpec { format: Format::Discord, accepts: Accepts::Known, ..spec };
    try_once(tokio, server, Channel::Webhook(Webhook::new(spec).unwrap()))
}

fn mail(tokio: &Runtime, reply: Vec<u8>) -> usize {
    let server = Server::start(move |stream| drop(stream.write_all(&reply)));
    let smtp = SmtpSpec {
        host: "127.0.0.1".to_owned(),
        port: server.address.rsplit(':').next().unwrap().parse().unwrap(),
        tls: SmtpTls::None,
        login: None,
        ca_pem: None,
        hello_name: None,
        timeouts: PhaseTimeouts::default(),
    };
    let spec = EmailSpec {
        channel: ChannelName::parse("ops").unwrap(),
        from: MailAddress::parse("watch@example.com").unwrap(),
        to: vec![MailAddress::parse("ops@example.com").unwrap()],
        bounces: Some(MailAddress::parse("watch@example.com").unwrap()),
        style: MailStyle::plain(MailDomain::parse("watch.example.com").unwrap()),
        context: MessageContext::PLAIN,
        post: TransportConfig::Smtp(smtp),
    };
    try_once(tokio, server, Channel::Email(Email::new(spec).unwrap()))
}

fn try_once(tokio: &Runtime, server: Server, channel: Channel) -> usize {
    let message = message(&channel);
    server.peak(tokio, async move { channel.deliver(&message, NOW).await })
}

fn config(text: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    assert!(file::load(&ConfigFile::named(&path), &Environment::default()).is_err());
    MEMORY.peak_usage().saturating_sub(before)
}

fn template(text: &str) -> usize {
    let tree = TemplateTree::List(vec![TemplateTree::Text(text.to_owned())]);
    let template = Template { tree, content_type: "application/json".to_owned() };
    let name = ChannelName::parse("ops").unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(template.render(&ping(name), &MessageContext::PLAIN));
    MEMORY.peak_usage().saturating_sub(before)
}

fn hint(body: &str) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(hints::ids(body.as_bytes()));
    MEMORY.peak_usage().saturating_sub(before)
}

/// 16 MiB of zeros.
const BROTLI_ZEROS: [u8; 27] = [
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x2f, 0xff, 0xff,
    0xff, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f,
];
