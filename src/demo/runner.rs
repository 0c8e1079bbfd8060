//! Runs the demo: starts fake API, receiver and daemon, and compares both sides at the end.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::settings::Settings;
use crate::daemon::clock::SystemClock;
use crate::daemon::config::load_config;
use crate::daemon::error::DaemonError;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::daemon::supervision::signals::Signals;
use crate::daemon::supervision::supervisor::Daemon;
use crate::demo::console::Console;
use crate::demo::fake_server::serve;
use crate::demo::ledger::Ledger;
use crate::demo::receiver::Receiver;
use crate::demo::scenario::{AvatarScript, scenario};
use crate::demo::scripted_api::{API_KEY, ScriptedApi};
use crate::files::write;
use crate::runtime::event_bus::EventBus;
use crate::signing_secret::{FRESH_BYTES, SigningSecret};
use crate::telemetry::init::queue_output;

/// Options of the demo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemoOptions {
    /// Number of avatars.
    pub avatars: u16,
    /// Speed factor.
    pub speed: f64,
    /// Seed of the scenario.
    pub seed: u64,
    /// Whether to stop when all avatars have reached their final status.
    pub until_settled: bool,
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A system call failed.
    #[error("the demo could not be set up")]
    System(#[from] std::io::Error),
    /// The generated config was rejected.
    #[error("the demo's own config has problems")]
    Config(#[from] ConfigError),
    /// The daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Runs the demo; returns whether everything was delivered exactly once.
///
/// # Errors
/// When it cannot be set up, or the daemon fails.
pub async fn run(options: DemoOptions) -> Result<bool, DemoError> {
    let output = queue_output()?.output;
    let mut signals = Signals::take()?;
    let mut folder = tempfile::Builder::new();
    folder.prefix("avatar-watch-demo-").permissions(Permissions::from_mode(PRIVATE_FOLDER));
    let folder = folder.tempdir()?;
    let scripts = scenario(options.avatars, options.speed, options.seed);
    let ledger = Ledger::default();
    let mut world = JoinSet::new();
    let settings = build_world(options, &scripts, &ledger, folder.path(), &mut world).await?;

    let console = Console::new(&scripts, output);
    console.begin(scripts.len(), !options.until_settled, &folder.path().display().to_string());
    let bus = EventBus::default();
    let mut events = bus.subscribe();
    let started_at = SystemClock.monotonic();
    let limit = started_at.plus(Duration::from_secs_f64(LIMIT_S / options.speed) + LIMIT_EXTRA);
    let rng = Rng::from_entropy()?;
    let mut daemon = Daemon::start(&Arc::new(settings), SystemClock, rng, bus).await?;
    console.page(daemon.listen_address());
    let mut is_stopped = false;
    let elapsed = || SystemClock.monotonic().since(started_at);
    loop {
        if options.until_settled && ledger.is_settled(scripts.len()) && events.is_empty() {
            break;
        }
        select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => console.show(elapsed(), &event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            failure = daemon.wait_for_failure() => return Err(failure.into()),
            () = signals.next_stop() => {
                is_stopped = true;
                break;
            }
            () = ledger.changed(), if options.until_settled => {}
            () = SystemClock.sleep_until(limit), if options.until_settled => break,
        }
    }
    daemon.stop(signals.next_stop()).await?;
    while let Ok(event) = events.try_recv() {
        console.show(elapsed(), &event);
    }
    let (reconciliation, settled) = (ledger.reconcile(), ledger.is_settled(scripts.len()));
    console.end(elapsed(), settled, &reconciliation);
    while !is_stopped && !output.is_idle() {
        select! {
            biased;
            () = signals.next_stop() => break,
            () = tokio::time::sleep(READER_PAUSE) => {}
        }
    }
    let whole = settled && reconciliation.open.is_empty();
    Ok(reconciliation.differences.is_empty() && (whole || !options.until_settled))
}

/// Starts fake API and receiver, and writes a config for the daemon.
async fn build_world(
    options: DemoOptions,
    scripts: &[AvatarScript],
    ledger: &Ledger,
    folder: &Path,
    world: &mut JoinSet<()>,
) -> Result<Settings, DemoError> {
    let api_listener = TcpListener::bind(LOOPBACK).await?;
    let hook = TcpListener::bind(LOOPBACK).await?;
    let mut bytes = [0; FRESH_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let secret = SigningSecret::from_random(bytes);
    let config = config_text(
        options.speed,
        scripts,
        &format!("http://{}/v1", api_listener.local_addr()?),
        &format!("http://{}/hook", hook.local_addr()?),
        &secret,
    );
    let path = folder.join("avatar-watch.toml");
    write::create(&path, config.as_bytes(), write::PRIVATE)?;
    let api = ScriptedApi::new(scripts, options.seed, options.speed, ledger.clone());
    let respond = move |request| std::future::ready(api.respond(&request));
    world.spawn(serve(api_listener, Arc::default(), respond));
    let receiver = Receiver::new(secret, ledger.clone());
    let respond = move |request| std::future::ready(receiver.respond(&request));
    world.spawn(serve(hook, Arc::default(), respond));
    Ok(load_config::load(&ConfigFile::named(path), &Environment::default())?)
}

/// A config with intervals that are shortened by the speed factor.
fn config_text(
    speed: f64,
    scripts: &[AvatarScript],
    base_url: &str,
    hook_url: &str,
    secret: &SigningSecret,
) -> String {
    let ms = |seconds: f64| format!("\"{}ms\"", ((seconds * 1000.0 / speed) as u64).max(10));
    let mut text = format!(
        "[argil]\napi_key = \"{API_KEY}\"\nbase_url = \"{base_url}\"\n\
         max_requests_per_second = 10000\nmax_concurrency = 64\n\n\
         [web]\nlisten = \"127.0.0.1:0\"\n\n\
         [poll]\ntraining = {{ min = {min}, max = {max}, age_fraction = 0.05 }}\n\
         not_trained = {min}\nsettled = {settled}\n\
         backoff = {{ initial = {min}, max = {max}, multiplier = 2.0, jitter = 0.3 }}\n\n\
         [channels.receiver]\ntype = \"webhook\"\nurl = \"{hook_url}\"\nsecret = \"{secret}\"\n\
         retry_schedule = [\"0s\", {first}, {second}, {second}, {second}]\n",
        min = ms(0.5),
        max = ms(2.0),
        settled = ms(3.0),
        first = ms(1.5),
        second = ms(5.0),
        secret = secret.reveal(),
    );
    for script in scripts {
        // Writing to a string does not fail.
        let _ = write!(text, "\n[[avatars]]\nid = \"{}\"\nname = \"{}\"\n", script.id, script.name);
    }
    text
}

/// Interval between two checks whether all output was written.
const READER_PAUSE: Duration = Duration::from_millis(10);
const LOOPBACK: &str = "127.0.0.1:0";
const PRIVATE_FOLDER: u32 = 0o700;
/// Time limit of a demo that stops by itself, at normal speed, …
const LIMIT_S: f64 = 240.0;
/// … plus this.
const LIMIT_EXTRA: Duration = Duration::from_secs(60);
