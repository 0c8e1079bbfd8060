//! Configs for tests, with short waits.

use std::fmt::Write as _;

use crate::harness::argil::FakeArgil;
use crate::harness::webhook::Receiver;

/// A config in the making.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    text: String,
}

impl Config {
    /// A config that polls `base_url` every few milliseconds.
    pub(crate) fn new(base_url: impl std::fmt::Display) -> Self {
        let text = format!(
            "[argil]\napi_key = \"{KEY}\"\nbase_url = \"{base_url}\"\ntimeout = \"2s\"\n\
             max_requests_per_second = 10000\n{NO_PAGE}\n\
             [poll]\ntraining = {{ min = \"20ms\", max = \"20ms\" }}\nnot_trained = \"20ms\"\n\
             settled = \"20ms\"\nmissing = \"20ms\"\n\
             backoff = {{ initial = \"20ms\", max = \"100ms\", multiplier = 2.0, jitter = 0.3 }}\n\
             {AT_ONCE}"
        );
        Self { text }
    }

    /// With this avatar.
    pub(crate) fn avatar(self, id: &str) -> Self {
        self.with(&format!("\n[[avatars]]\nid = \"{id}\"\n"))
    }

    /// With a webhook that retries quickly.
    pub(crate) fn webhook(self, name: &str, url: &str) -> Self {
        self.with(&format!(
            "\n[channels.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n\
             timeout = \"2s\"\n\
             {IMPATIENT}\n"
        ))
    }

    /// With a mail account without encryption, as only loopback may have.
    pub(crate) fn mail(self, name: &str, port: u16) -> Self {
        self.with(&format!(
            "\n[channels.{name}]\ntype = \"email\"\nfrom = \"watch@example.com\"\n\
             to = [\"studio@example.com\"]\n\
             smtp = {{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}\n"
        ))
    }

    /// With a page on any port, and a token for changes.
    pub(crate) fn page(self) -> Self {
        let page = format!("\n[web]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n");
        Self { text: self.text.replace(NO_PAGE, &page) }
    }

    /// With more text.
    pub(crate) fn with(mut self, text: &str) -> Self {
        write!(self.text, "{text}").unwrap();
        self
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl From<String> for Config {
    fn from(text: String) -> Self {
        Self { text }
    }
}

/// A fake API, a receiver, and a config with the avatar `a1` and the receiver as channel `ops`.
pub(crate) async fn with_receiver() -> (FakeArgil, Receiver, Config) {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url()).avatar("a1");
    (argil, receiver, config)
}

/// The retry schedule of these configs' webhooks: six attempts in quick succession.
/// Operators are notified without a wait for others.
pub(crate) const AT_ONCE: &str = "\n[events]\ngroup_window = \"0s\"\n";

pub(crate) const IMPATIENT: &str =
    r#"retry_schedule = ["0s", "50ms", "50ms", "50ms", "50ms", "50ms"]"#;
/// There is no page, since tests run side by side and there is one usual place.
pub(crate) const NO_PAGE: &str = "\n[web]\nlisten = \"off\"\n";
/// The token of these configs' pages.
pub(crate) const TOKEN: &str = "canary-token-9c0e";
/// The API key of these configs.
pub(crate) const KEY: &str = "canary-key-5d1f";
/// The signing secret of these configs.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
