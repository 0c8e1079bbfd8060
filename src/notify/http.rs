//! A webhook: one signed `POST` to one URL.
//!
//! What always holds: one try is one request on a connection of its own; a redirect is never
//! followed; no proxy is asked but the one that was named; no refused address is called; neither
//! the URL nor a secret gets into an outcome, not even when the receiver sends it back. What an
//! answer means is told by its head, whatever becomes of its body.

use std::fmt;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::domain::custom_header::CustomHeaderName;
use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::reach::Reach;
use crate::domain::timestamp::Timestamp;
use crate::notify::answer::Answer;
use crate::notify::channels::Parcel;
use crate::notify::client::{ClientSpec, LazyClient, Trust};
use crate::notify::error::NotifyError;
use crate::notify::fault::{self, CONNECT, ResolveError, TLS};
use crate::notify::format::choice::{Format, Target};
use crate::notify::guard::{self, Refused};
use crate::notify::proxy::{Proxy, Tunnel};
use crate::notify::{hidden, plain, proxy, signature};
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// The settings of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookSpec {
    /// Where to send; a secret like any other.
    pub url: Secret,
    /// Every one of them signs; none at all sends no signature.
    pub secrets: Vec<SigningSecret>,
    /// The longest that one try may take.
    pub timeout: Duration,
    /// What it speaks.
    pub format: Format,
    /// More headers of every request; their values are secrets.
    pub headers: Vec<(CustomHeaderName, Secret)>,
    /// The proxy to go through; an `http` URL, and a secret.
    pub proxy: Option<Secret>,
    /// How far it may reach.
    pub reach: Reach,
    /// Certificates to trust besides those of the system, as PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// A place that takes messages over HTTP.
pub struct Webhook {
    client: Box<LazyClient>,
    url: Url,
    format: Box<Format>,
    target: Box<Target>,
    host: String,
    secrets: Vec<SigningSecret>,
    headers: HeaderMap,
    proxy: Option<Proxy>,
    reach: Reach,
    hidden: Vec<String>,
    connect_limit: Duration,
    timeout: Duration,
}

impl WebhookSpec {
    /// A webhook without anything that can be left out.
    pub const fn new(url: Secret, secrets: Vec<SigningSecret>, timeout: Duration) -> Self {
        Self {
            url,
            secrets,
            timeout,
            format: Format::Standard,
            headers: Vec::new(),
            proxy: None,
            reach: Reach::Near,
            ca_pem: None,
        }
    }
}

impl Webhook {
    /// Sets it up; nothing is sent. What the machine lacks for the HTTP client is tried again with
    /// every try.
    ///
    /// # Errors
    /// When the URL or the proxy is none, or a header or a certificate is unfit.
    pub fn new(spec: WebhookSpec) -> Result<Self, NotifyError> {
        let url = Url::parse(spec.url.expose()).map_err(NotifyError::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotifyError::Scheme)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotifyError::Scheme);
        }
        let target = spec.format.target(&url)?;
        let proxy = spec.proxy.as_ref().map(Proxy::parse).transpose()?;
        let connect_limit = CONNECT_LIMIT.min(spec.timeout.mul_f32(CONNECT_SHARE));
        let client = LazyClient::new(ClientSpec {
            timeout: spec.timeout,
            connect_limit,
            // A proxy was chosen, and may well be near: only what it is sent to is limited.
            reach: if proxy.is_some() { Reach::Near } else { spec.reach },
            proxy: proxy.as_ref().map(|proxy| proxy.url.clone()),
            trust: match url.scheme() {
                "http" => Trust::Nobody,
                _ => Trust::System { more: spec.ca_pem },
            },
        })?;
        let of_headers = spec.headers.iter().flat_map(|(_, value)| hidden::of_header(value));
        let hidden = hidden::of_url(&url)
            .into_iter()
            .chain(spec.secrets.iter().flat_map(hidden::of_signing))
            .chain(of_headers)
            .chain(target.topic.iter().map(|topic| topic.expose().to_owned()))
            .chain(proxy.iter().flat_map(Proxy::hidden));
        Ok(Self {
            client: Box::new(client),
            host: host.to_owned(),
            headers: custom(&spec.headers)?,
            hidden: hidden::list(hidden),
            url,
            target: Box::new(target),
            format: Box::new(spec.format),
            secrets: spec.secrets,
            proxy,
            reach: spec.reach,
            connect_limit,
            timeout: spec.timeout,
        })
    }

    /// Makes exactly one try.
    pub async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Outcome {
        if let Err(outcome) = self.check_literals() {
            return outcome;
        }
        let body = self.target.body(&parcel.body);
        let Some(headers) = self.headers(parcel, &body, now) else {
            return fault::stopped(
                OutcomeClass::Rejected,
                REQUEST,
                "the content type cannot stand in a header".to_owned(),
            );
        };
        let client = match self.client.get() {
            Ok(client) => client,
            Err(lacks) => return fault::stopped(OutcomeClass::Local, TLS, lacks),
        };
        let request = client.post(self.target.url.clone()).headers(headers);
        match request.body(body.into_owned()).send().await {
            Ok(response) => self.judge(response, now).await,
            Err(error) => self.not_answered(&error.without_url()),
        }
    }

    /// Looks the host up and connects to it, without TLS, and sends nothing. Where there is a
    /// proxy, it is the proxy that is connected to, and the phase says so.
    pub async fn probe(&self) -> Outcome {
        if let Err(outcome) = self.check_literals() {
            return outcome;
        }
        if let Some(lacks) = self.hindrance() {
            return fault::stopped(OutcomeClass::Local, TLS, lacks);
        }
        let Some(proxy) = &self.proxy else {
            // A URL of `http` or `https` always has a port.
            let port = self.url.port_or_known_default().unwrap_or_default();
            let place = (self.host.trim_matches(['[', ']']), port);
            return self.reached(&self.host, place, self.reach, CONNECT).await;
        };
        let outcome = self.reached(&proxy.host, proxy.place(), Reach::Near, AT_PROXY).await;
        match outcome.class {
            OutcomeClass::Delivered => outcome,
            _ => proxy.fault(outcome),
        }
    }

    /// What this machine lacks, so that nothing can be sent just now.
    pub fn hindrance(&self) -> Option<String> {
        self.client.get().err()
    }

    /// What it speaks.
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// How long one try takes at most.
    pub const fn attempt_max(&self) -> Duration {
        self.timeout.saturating_add(SNIPPET_PATIENCE)
    }

    /// A name of the URL that does not show it.
    pub fn fingerprint(&self) -> String {
        signature::fingerprint(&["webhook", self.url.as_str()])
    }

    /// The addresses that stand in the settings are never looked up, so the resolver does not see
    /// them.
    fn check_literals(&self) -> Result<(), Outcome> {
        guard::check_url(&self.url, self.reach).map_err(|refused| refused.outcome(&self.host))?;
        let Some(proxy) = &self.proxy else { return Ok(()) };
        guard::check_url(&proxy.url, Reach::Near).map_err(|refused| refused.outcome(&proxy.host))
    }

    /// Connects, as far as `phase`.
    async fn reached(
        &self,
        shown: &str,
        (host, port): (&str, u16),
        reach: Reach,
        phase: &'static str,
    ) -> Outcome {
        let addresses = match fault::resolve(host, port, self.connect_limit).await {
            Ok(addresses) => addresses,
            Err(error) => return error.outcome(shown),
        };
        let addresses = match guard::admit(addresses, reach) {
            Ok(addresses) => addresses,
            Err(refused) => return refused.outcome(shown),
        };
        match fault::connect(shown, &addresses, self.connect_limit).await {
            Err(outcome) => outcome,
            Ok(_) => Outcome::new(OutcomeClass::Delivered, phase),
        }
    }

    fn headers(&self, parcel: &Parcel, body: &[u8], now: Timestamp) -> Option<HeaderMap> {
        let id = parcel.event_id.as_str();
        // Ours come after the custom ones, so that none of those is in their place.
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&parcel.content_type).ok()?);
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(now.as_seconds()));
        if let Some(signed) = signature::sign(id, now, body, &self.secrets) {
            let mut value = HeaderValue::from_str(&signed).ok()?;
            value.set_sensitive(true);
            headers.insert("webhook-signature", value);
        }
        Some(headers)
    }

    async fn judge(&self, mut response: Response, now: Timestamp) -> Outcome {
        let said = response.status().canonical_reason().map(|reason| format!(" ({reason})"));
        let mut answer = head(&response);
        let body = tokio::time::timeout(SNIPPET_PATIENCE, beginning(&mut response));
        answer.beginning = body.await.unwrap_or_default();
        let snippet = plain::snippet(&answer.beginning, &self.hidden);
        let code = Some(answer.status);
        if let (Some(proxy), Tunnel::None, PROXY_LOGIN_WANTED) =
            (&self.proxy, self.tunnel(), answer.status)
        {
            return Outcome { code, snippet, ..proxy.login_refused() };
        }
        let meaning = self.format.meaning(&answer, now);
        let remark = meaning.remark.map(|remark| format!("; {remark}"));
        let error = format!(
            "`{}` answered {}{}{}",
            self.host,
            answer.status,
            said.unwrap_or_default(),
            remark.unwrap_or_default()
        );
        Outcome {
            class: meaning.class,
            phase: RESPONSE,
            code,
            retry_after: meaning.retry_after,
            error: (meaning.class != OutcomeClass::Delivered).then_some(error),
            snippet,
            clock: answer.clock(),
            scope: Scope::Channel,
        }
    }

    /// No answer came. Once the connection stood, the request may have been taken.
    fn not_answered(&self, error: &reqwest::Error) -> Outcome {
        let host = &self.host;
        let next = self.proxy.as_ref().map_or(host, |proxy| &proxy.host);
        if let Some(refused) = fault::cause::<Refused>(error) {
            return refused.outcome(next);
        }
        if let Some(unresolved) = fault::cause::<ResolveError>(error) {
            let outcome = unresolved.outcome(next);
            return match &self.proxy {
                Some(proxy) => proxy.fault(outcome),
                None => outcome,
            };
        }
        let tls = fault::cause::<rustls::Error>(error);
        if let Some(tls) = tls.filter(|_| error.is_connect()) {
            let text = format!("no TLS with `{host}`: {}", fault::tls_text(tls));
            return fault::stopped(OutcomeClass::Retryable, TLS, text);
        }
        if error.is_connect() {
            let of_proxy = self.proxy.as_ref().and_then(|proxy| {
                proxy.not_connected(host, self.tunnel(), error.is_timeout(), error)
            });
            return of_proxy.unwrap_or_else(|| self.not_connected(error));
        }
        if error.is_builder() {
            let text = "the request could not be put together".to_owned();
            return fault::stopped(OutcomeClass::Retryable, REQUEST, text);
        }
        let said = match tls {
            Some(tls) => format!("broke TLS off ({})", fault::tls_text(tls)),
            None if error.is_timeout() => "did not answer in time".to_owned(),
            None => "gave no answer".to_owned(),
        };
        let text = format!("`{host}` {said}; it may have taken the message");
        fault::stopped(OutcomeClass::Ambiguous, RESPONSE, text)
    }

    fn not_connected(&self, error: &reqwest::Error) -> Outcome {
        let host = &self.host;
        if error.is_timeout() && self.url.scheme() == "https" {
            let text = format!("`{host}` was not connected to, with TLS, in time");
            return fault::stopped(OutcomeClass::Retryable, CONNECT, text);
        }
        if error.is_timeout() {
            return fault::not_connected(host, &std::io::ErrorKind::TimedOut.into());
        }
        let unnamed = std::io::Error::other("");
        let cause = fault::cause::<std::io::Error>(error).unwrap_or(&unnamed);
        fault::not_connected(host, cause)
    }

    /// What a proxy is asked for.
    fn tunnel(&self) -> Tunnel {
        if self.url.scheme() == "https" { Tunnel::Asked } else { Tunnel::None }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The headers of the operator; their values are kept out of every log.
fn custom(headers: &[(CustomHeaderName, Secret)]) -> Result<HeaderMap, NotifyError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let unfit = || NotifyError::HeaderValue { name: name.to_string() };
        let key = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| unfit())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unfit())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// An answer whose body has not come yet.
fn head(response: &Response) -> Answer {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().iter().filter_map(text).collect(),
        beginning: Vec::new(),
    }
}

/// The beginning of the body, as far as it comes.
async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < SNIPPET_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let room = SNIPPET_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    bytes
}

/// The phase of a probe that reached the proxy, and of what a proxy refuses.
pub const AT_PROXY: &str = proxy::PROXY;
const REQUEST: &str = "request";
const RESPONSE: &str = "response";
const PROXY_LOGIN_WANTED: u16 = 407;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Of a short timeout, connecting gets this share, so that a timeout says which of both it was.
const CONNECT_SHARE: f32 = 0.75;
const SNIPPET_BYTES_MAX: usize = 4096;
/// How long the rest of a judged answer may keep us.
const SNIPPET_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_showing_it() {
        let check = |url: &str| {
            let spec = WebhookSpec::new(Secret::new(url), Vec::new(), Duration::from_secs(1));
            let error = Webhook::new(spec).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "for `{url}`");
        };
        check("CANARY");
        check("ftp://h.example/CANARY");
        check("http://");
        check("https://h.example:CANARY/");
        check("mailto:CANARY@h.example");
    }
}
