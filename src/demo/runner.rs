//! The tour: builds the world around the daemon, lets it run, compares at the end.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::location::ConfigFile;
use crate::config::settings::Settings;
use crate::daemon::clock::SystemClock;
use crate::daemon::error::DaemonError;
use crate::daemon::load_config;
use crate::daemon::ports::Clock as _;
use crate::daemon::rng::Rng;
use crate::daemon::signals::Signals;
use crate::daemon::supervisor::Daemon;
use crate::demo::console::Console;
use crate::demo::fake_api::{API_KEY, FakeApi};
use crate::demo::ledger::Ledger;
use crate::demo::receiver::Receiver;
use crate::demo::scenario::{AvatarScript, scenario};
use crate::files::write;
use crate::runtime::event_bus::EventBus;
use crate::signing_secret::{FRESH_BYTES, SigningSecret};
use crate::telemetry::init::queue_output;

/// What is asked of a tour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemoOptions {
    /// How many avatars.
    pub avatars: u16,
    /// How many times faster than life.
    pub speed: f64,
    /// Which lives.
    pub seed: u64,
    /// Whether to end when all have settled.
    pub until_settled: bool,
}

/// Why a tour could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The system refused something.
    #[error("the demo could not be set up")]
    System(#[from] std::io::Error),
    /// Its own config was not taken.
    #[error("the demo's own config has problems")]
    Config(#[from] ConfigError),
    /// The daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Makes the tour; whether everything that was observed was delivered, once.
///
/// # Errors
/// When it could not be set up, or the daemon failed.
pub async fn run(wishes: DemoOptions) -> Result<bool, DemoError> {
    let output = queue_output()?.output;
    let mut signals = Signals::take()?;
    let mut folder = tempfile::Builder::new();
    folder.prefix("avatar-watch-demo-").permissions(Permissions::from_mode(PRIVATE_FOLDER));
    let folder = folder.tempdir()?;
    let cast = scenario(wishes.avatars, wishes.speed, wishes.seed);
    let ledger = Ledger::default();
    let mut world = JoinSet::new();
    let settings = build_world(wishes, &cast, &ledger, folder.path(), &mut world).await?;

    let screen = Console::new(&cast, output);
    screen.begin(cast.len(), !wishes.until_settled, &folder.path().display().to_string());
    let feed = EventBus::default();
    let mut happenings = feed.subscribe();
    let begun = SystemClock.monotonic();
    let limit = begun.plus(Duration::from_secs_f64(LIMIT_S / wishes.speed) + LIMIT_EXTRA);
    let chance = Rng::from_entropy()?;
    let mut daemon = Daemon::start(&settings, SystemClock, chance, feed).await?;
    screen.page(daemon.page());
    let mut ordered = false;
    let elapsed = || SystemClock.monotonic().since(begun);
    loop {
        if wishes.until_settled && ledger.is_settled(cast.len()) && happenings.is_empty() {
            break;
        }
        select! {
            biased;
            happening = happenings.recv() => match happening {
                Ok(happening) => screen.show(elapsed(), &happening),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            failure = daemon.failed() => return Err(failure.into()),
            () = signals.next_stop() => {
                ordered = true;
                break;
            }
            () = ledger.changed(), if wishes.until_settled => {}
            () = SystemClock.sleep_until(limit), if wishes.until_settled => break,
        }
    }
    daemon.stop(signals.next_stop()).await?;
    while let Ok(happening) = happenings.try_recv() {
        screen.show(elapsed(), &happening);
    }
    let (balance, settled) = (ledger.balance(), ledger.is_settled(cast.len()));
    screen.end(elapsed(), settled, &balance);
    while !ordered && !output.is_idle() {
        select! {
            biased;
            () = signals.next_stop() => break,
            () = tokio::time::sleep(READER_PAUSE) => {}
        }
    }
    let whole = settled && balance.open.is_empty();
    Ok(balance.faults.is_empty() && (whole || !wishes.until_settled))
}

/// Starts the simulated API and the receiver, and writes the config that ties them to the
/// daemon.
async fn build_world(
    wishes: DemoOptions,
    cast: &[AvatarScript],
    ledger: &Ledger,
    folder: &Path,
    world: &mut JoinSet<std::io::Result<()>>,
) -> Result<Settings, DemoError> {
    let api = TcpListener::bind(LOOPBACK).await?;
    let hook = TcpListener::bind(LOOPBACK).await?;
    let mut bytes = [0; FRESH_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let secret = SigningSecret::from_random(bytes);
    let config = config_text(
        wishes.speed,
        cast,
        &format!("http://{}/v1", api.local_addr()?),
        &format!("http://{}/hook", hook.local_addr()?),
        &secret,
    );
    let path = folder.join("avatar-watch.toml");
    write::create(&path, config.as_bytes(), write::PRIVATE)?;
    let simulation = FakeApi::new(cast, wishes.seed, wishes.speed, ledger.clone());
    world.spawn(simulation.serve(api));
    world.spawn(Receiver::new(secret, ledger.clone()).serve(hook));
    Ok(load_config::load(&ConfigFile::named(path), &Environment::default())?)
}

/// A config like a user's, with waits as much shorter as life is faster.
fn config_text(
    speed: f64,
    cast: &[AvatarScript],
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
    for life in cast {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n[[avatars]]\nid = \"{}\"\nname = \"{}\"\n", life.id, life.name);
    }
    text
}

/// The pause before it is seen again whether all output was taken.
const READER_PAUSE: Duration = Duration::from_millis(10);
const LOOPBACK: &str = "127.0.0.1:0";
const PRIVATE_FOLDER: u32 = 0o700;
/// A tour that should end does so within this, at the speed of life, …
const LIMIT_S: f64 = 240.0;
/// … and this.
const LIMIT_EXTRA: Duration = Duration::from_secs(60);
