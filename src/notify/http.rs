//! A webhook: one signed `POST` to one URL.
//!
//! What always holds: one try is one request on a connection of its own; a redirect is never
//! followed; no proxy of the environment is asked; neither the URL nor a secret gets into an
//! outcome, not even when the receiver sends it back. A 2xx counts as soon as its headers are
//! here, whatever becomes of its body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::domain::delivery::{Outcome, OutcomeClass, RETRY_AFTER_MAX};
use crate::domain::retry_after;
use crate::domain::timestamp::Timestamp;
use crate::notify::channels::Parcel;
use crate::notify::error::NotifyError;
use crate::notify::fault::{self, CONNECT, ResolveError, TLS};
use crate::notify::{plain, signature};
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
}

/// A place that takes messages over HTTP.
pub struct Webhook {
    client: Client,
    url: Url,
    host: String,
    secrets: Vec<SigningSecret>,
    hidden: Vec<String>,
    connect_limit: Duration,
}

impl Webhook {
    /// Sets it up; nothing is sent.
    ///
    /// # Errors
    /// When the URL is none, or the HTTP client cannot be set up.
    pub fn new(spec: WebhookSpec) -> Result<Self, NotifyError> {
        let url = Url::parse(spec.url.expose()).map_err(NotifyError::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotifyError::Scheme)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotifyError::Scheme);
        }
        let connect_limit = CONNECT_LIMIT.min(spec.timeout.mul_f32(CONNECT_SHARE));
        Ok(Self {
            client: client(spec.timeout, connect_limit)?,
            host: host.to_owned(),
            hidden: secret_parts(&url)
                .into_iter()
                .chain(spec.secrets.iter().flat_map(shown_forms))
                .collect(),
            url,
            secrets: spec.secrets,
            connect_limit,
        })
    }

    /// Makes exactly one try.
    pub async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Outcome {
        let Some(headers) = self.headers(parcel, now) else {
            return fault::stopped(
                OutcomeClass::Rejected,
                REQUEST,
                "the content type cannot stand in a header".to_owned(),
            );
        };
        let request = self.client.post(self.url.clone()).headers(headers);
        match request.body(parcel.body.clone()).send().await {
            Ok(response) => self.judge(response, now).await,
            Err(error) => self.not_answered(&error.without_url()),
        }
    }

    /// Looks the host up and connects to it, without TLS, and sends nothing.
    pub async fn probe(&self) -> Outcome {
        // A URL of `http` or `https` always has a port.
        let port = self.url.port_or_known_default().unwrap_or_default();
        let host = self.host.trim_matches(['[', ']']);
        let addresses = match fault::resolve(host, port, self.connect_limit).await {
            Ok(addresses) => addresses,
            Err(error) => return error.outcome(&self.host),
        };
        match fault::connect(&self.host, &addresses, self.connect_limit).await {
            Err(outcome) => outcome,
            Ok(_) => Outcome::new(OutcomeClass::Delivered, CONNECT),
        }
    }

    /// A name of the URL that does not show it.
    pub fn fingerprint(&self) -> String {
        signature::fingerprint(&["webhook", self.url.as_str()])
    }

    fn headers(&self, parcel: &Parcel, now: Timestamp) -> Option<HeaderMap> {
        let id = parcel.event_id.as_str();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&parcel.content_type).ok()?);
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(now.as_seconds()));
        if let Some(signed) = signature::sign(id, now, &parcel.body, &self.secrets) {
            let mut value = HeaderValue::from_str(&signed).ok()?;
            value.set_sensitive(true);
            headers.insert("webhook-signature", value);
        }
        Some(headers)
    }

    async fn judge(&self, mut response: Response, now: Timestamp) -> Outcome {
        let status = response.status();
        let retry_after = asked_wait(response.headers(), now);
        let answer = tokio::time::timeout(SNIPPET_PATIENCE, beginning(&mut response));
        let class = class_of(status, retry_after);
        let delivered = class == OutcomeClass::Delivered;
        let said = status.canonical_reason().map(|reason| format!(" ({reason})"));
        let error =
            format!("`{}` answered {}{}", self.host, status.as_u16(), said.unwrap_or_default());
        Outcome {
            class,
            phase: RESPONSE,
            code: Some(status.as_u16()),
            retry_after: retry_after.filter(|_| !delivered),
            error: (!delivered).then_some(error),
            snippet: plain::snippet(&answer.await.unwrap_or_default(), &self.hidden),
            clock: None,
        }
    }

    /// No answer came. Once the connection stood, the request may have been taken.
    fn not_answered(&self, error: &reqwest::Error) -> Outcome {
        let host = &self.host;
        if let Some(unresolved) = fault::cause::<ResolveError>(error) {
            return unresolved.outcome(host);
        }
        if let Some(tls) = fault::cause::<rustls::Error>(error) {
            let text = format!("no TLS with `{host}`: {}", fault::tls_text(tls));
            return fault::stopped(OutcomeClass::Retryable, TLS, text);
        }
        if error.is_connect() {
            if error.is_timeout() && self.url.scheme() == "https" {
                let text = format!("`{host}` was not connected to, with TLS, in time");
                return fault::stopped(OutcomeClass::Retryable, CONNECT, text);
            }
            if error.is_timeout() {
                return fault::not_connected(host, &std::io::ErrorKind::TimedOut.into());
            }
            let unnamed = std::io::Error::other("");
            let cause = fault::cause::<std::io::Error>(error).unwrap_or(&unnamed);
            return fault::not_connected(host, cause);
        }
        if error.is_builder() {
            let text = "the request could not be put together".to_owned();
            return fault::stopped(OutcomeClass::Retryable, REQUEST, text);
        }
        let said = if error.is_timeout() { "did not answer in time" } else { "gave no answer" };
        let text = format!("`{host}` {said}; it may have taken the message");
        fault::stopped(OutcomeClass::Ambiguous, RESPONSE, text)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// What an answer means. Everything but a refusal of this very message is tried again, because
/// even a 401 or a 404 may be a deployment that is under way.
fn class_of(status: StatusCode, retry_after: Option<Duration>) -> OutcomeClass {
    match status.as_u16() {
        200..=299 => OutcomeClass::Delivered,
        429 => OutcomeClass::Throttled,
        503 if retry_after.is_some() => OutcomeClass::Throttled,
        413 | 415 => OutcomeClass::Rejected,
        _ => OutcomeClass::Retryable,
    }
}

fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let asked = headers.get(RETRY_AFTER).and_then(text)?;
    let date = headers.get(DATE).and_then(text);
    retry_after::parse(&asked, date.as_deref(), now, RETRY_AFTER_MAX)
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

/// How a signing secret would look if a receiver sent it back.
fn shown_forms(secret: &SigningSecret) -> [String; 2] {
    let whole = secret.reveal();
    let bare = whole.trim_start_matches("whsec_").to_owned();
    [whole, bare]
}

/// What of the URL must not come back in a snippet: error pages like to repeat the path.
fn secret_parts(url: &Url) -> Vec<String> {
    let mut parts = vec![url.path().to_owned()];
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    parts.extend(
        url.query().into_iter().flat_map(|query| query.split(['&', '='])).map(str::to_owned),
    );
    parts.extend([url.username().to_owned(), url.password().unwrap_or_default().to_owned()]);
    let decoded = |part: &String| percent_decode_str(part).decode_utf8_lossy().into_owned();
    parts.extend(parts.iter().map(decoded).collect::<Vec<_>>());
    parts.retain(|part| part.chars().count() >= SECRET_CHARS_MIN);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts
}

fn client(timeout: Duration, connect_limit: Duration) -> Result<Client, NotifyError> {
    // Only the first call in a process takes effect; that another was first is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .gzip(false)
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(Resolver { limit: connect_limit.mul_f32(RESOLVE_SHARE) }))
        .connect_timeout(connect_limit)
        .timeout(timeout)
        .build()
        .map_err(|error| NotifyError::HttpClient(Box::new(error.without_url())))
}

/// Looks names up so that a failure tells whose fault it is.
struct Resolver {
    limit: Duration,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let limit = self.limit;
        Box::pin(async move {
            // The client puts the port of the URL in place of the zero.
            let addresses = fault::resolve(name.as_str(), 0, limit).await?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

const USER_AGENT: &str = concat!("avatar-watch/", env!("CARGO_PKG_VERSION"));
const REQUEST: &str = "request";
const RESPONSE: &str = "response";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Of a short timeout, connecting gets this share, so that a timeout says which of both it was.
const CONNECT_SHARE: f32 = 0.75;
const RESOLVE_SHARE: f32 = 0.75;
const SNIPPET_BYTES_MAX: usize = 4096;
/// How long the rest of a judged answer may keep us.
const SNIPPET_PATIENCE: Duration = Duration::from_secs(2);
/// Shorter parts of a URL are words, not secrets.
const SECRET_CHARS_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_means_one_thing() {
        let check = |status: u16, wait: Option<u64>, expected| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(class_of(status, wait.map(Duration::from_secs)), expected, "for {status}");
        };
        for status in [200, 201, 202, 204, 299] {
            check(status, None, OutcomeClass::Delivered);
        }
        check(429, None, OutcomeClass::Throttled);
        check(429, Some(7), OutcomeClass::Throttled);
        check(503, Some(7), OutcomeClass::Throttled);
        check(413, None, OutcomeClass::Rejected);
        check(415, None, OutcomeClass::Rejected);
        for status in [301, 304, 307, 308, 400, 401, 403, 404, 408, 410, 422, 500, 502, 503, 504] {
            check(status, None, OutcomeClass::Retryable);
        }
        check(500, Some(7), OutcomeClass::Retryable);
    }

    #[test]
    fn the_parts_of_a_url_that_may_be_secret_are_known() {
        let url =
            Url::parse("https://user:passw0rd@h.example/hook/T0K%2FEN77?sig=abc%3Ddef").unwrap();
        let parts = secret_parts(&url);
        for part in ["T0K%2FEN77", "T0K/EN77", "passw0rd", "abc=def", "abc%3Ddef"] {
            assert!(parts.contains(&part.to_owned()), "{part} in {parts:?}");
        }
        assert!(!parts.contains(&"hook".to_owned()));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_showing_it() {
        let check = |url: &str| {
            let spec = WebhookSpec {
                url: Secret::new(url),
                secrets: Vec::new(),
                timeout: Duration::from_secs(1),
            };
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
