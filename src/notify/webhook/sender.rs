//! A webhook: one signed `POST` to one URL.
//!
//! Invariants: one attempt is one request on its own connection; redirects are not followed; only
//! the configured proxy is used; blocked addresses are not connected to; no outcome contains the
//! URL or a secret, not even when the receiver echoes it. The status and headers count even when
//! the body does not arrive.

use std::fmt;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::domain::delivery::channel_name::Accepts;
use crate::domain::delivery::custom_header::CustomHeaderName;
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::{AT_PROXY, GARBLED, Outcome, OutcomeClass, Scope};
use crate::domain::event::Event;
use crate::domain::time::timestamp::Timestamp;
use crate::mask::Mask;
use crate::network::error_chain::cause;
use crate::notify::build_error::BuildError;
use crate::notify::excerpt;
use crate::notify::format::kind::{Format, MessageTarget, Rendered};
use crate::notify::message::OutboundMessage;
use crate::notify::message_context::MessageContext;
use crate::notify::secret_patterns;
use crate::notify::ssrf_guard::{self, Blocked};
use crate::notify::transport_error::{self, CONNECT, TLS, UnresolvedHost, failed_outcome};
use crate::notify::webhook::body;
use crate::notify::webhook::client::{CertificateTrust, HttpClientSpec, LazyClient};
use crate::notify::webhook::proxy::{Proxy, Tunnel};
use crate::notify::webhook::response::{Classification, HttpResponse};
use crate::notify::webhook::route::{REFUSAL_TIMEOUT, Route};
use crate::notify::webhook::signature;
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;

/// The settings of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookSpec {
    /// A secret.
    pub url: Secret,
    /// Each of them signs; without any, no signature is sent.
    pub secrets: Vec<SigningSecret>,
    /// The limit of one request.
    pub timeout: Duration,
    /// How bodies are rendered.
    pub format: Format,
    /// The time zone and the links of texts for people.
    pub context: MessageContext,
    /// Additional headers; their values are secrets.
    pub headers: Vec<(CustomHeaderName, Secret)>,
    /// An `http` URL, and a secret.
    pub proxy: Option<Secret>,
    /// The addresses that may be connected to.
    pub egress: EgressPolicy,
    /// More root certificates, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Which responses of a chat count as delivered.
    pub accepts: Accepts,
}

/// A webhook with its client, ready to deliver.
pub struct Webhook {
    client: Box<LazyClient>,
    route: Box<Route>,
    format: Box<Format>,
    context: MessageContext,
    target: Box<MessageTarget>,
    accepts: Accepts,
    secrets: Vec<SigningSecret>,
    headers: HeaderMap,
    hidden: Vec<String>,
    timeout: Duration,
}

impl WebhookSpec {
    /// A webhook without optional settings.
    pub const fn new(url: Secret, secrets: Vec<SigningSecret>, timeout: Duration) -> Self {
        Self {
            url,
            secrets,
            timeout,
            format: Format::Standard,
            context: MessageContext::PLAIN,
            headers: Vec::new(),
            proxy: None,
            egress: EgressPolicy::AllowPrivate,
            ca_pem: None,
            accepts: Accepts::Known,
        }
    }
}

impl Webhook {
    /// Builds the webhook; nothing is sent. When the HTTP client cannot be built on this machine,
    /// every attempt builds it again.
    ///
    /// # Errors
    /// When the URL, the proxy, a header or a certificate is not valid.
    pub fn new(spec: WebhookSpec) -> Result<Self, BuildError> {
        let url = Url::parse(spec.url.expose()).map_err(BuildError::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BuildError::Scheme)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BuildError::Scheme);
        }
        let target = spec.format.target(&url)?;
        let proxy = spec.proxy.as_ref().map(Proxy::parse).transpose()?;
        let connect_limit = CONNECT_LIMIT.min(spec.timeout.mul_f32(CONNECT_SHARE));
        let client = LazyClient::new(HttpClientSpec {
            timeout: spec.timeout,
            connect_limit,
            // The proxy is configured and may be in a private network; only the target is checked.
            egress: if proxy.is_some() { EgressPolicy::AllowPrivate } else { spec.egress },
            proxy: proxy.as_ref().map(|proxy| proxy.url.clone()),
            trust: match url.scheme() {
                "http" => CertificateTrust::None,
                _ => CertificateTrust::System { more: spec.ca_pem.clone() },
            },
        })?;
        let of_headers =
            spec.headers.iter().flat_map(|(_, value)| secret_patterns::of_header(value));
        // The mask does not depend on their order.
        let hidden = secret_patterns::of_url(&url)
            .into_iter()
            .chain(spec.secrets.iter().flat_map(secret_patterns::of_signing))
            .chain(of_headers)
            .chain(target.topic.iter().map(|topic| topic.expose().to_owned()))
            .chain(proxy.iter().flat_map(Proxy::hidden))
            .collect();
        let host = host.to_owned();
        let (egress, ca_pem) = (spec.egress, spec.ca_pem);
        Ok(Self {
            client: Box::new(client),
            headers: custom(&spec.headers)?,
            hidden,
            route: Box::new(Route { url, host, proxy, egress, ca_pem, connect_limit }),
            target: Box::new(target),
            format: Box::new(spec.format),
            context: spec.context,
            accepts: spec.accepts,
            secrets: spec.secrets,
            timeout: spec.timeout,
        })
    }

    /// Makes exactly one attempt.
    pub async fn deliver(&self, message: &OutboundMessage, now: Timestamp) -> Outcome {
        if let Err(outcome) = self.check_literals() {
            return outcome;
        }
        let body = self.target.body(&message.body);
        let Some(headers) = self.headers(message, &body, now) else {
            return failed_outcome(
                OutcomeClass::Rejected,
                REQUEST,
                "the content type is not valid in a header".to_owned(),
            );
        };
        let client = match self.client.get() {
            Ok(client) => client,
            Err(lacks) => return failed_outcome(OutcomeClass::Local, TLS, lacks),
        };
        let request = client.post(self.target.url.clone()).headers(headers);
        match request.body(body.into_owned()).send().await {
            Ok(response) => self.classify(response, now).await,
            Err(error) => {
                let error = error.without_url();
                let outcome = self.request_failed(&error);
                if !self.may_be_proxy(&outcome, &error) {
                    return outcome;
                }
                self.route.refusal(&self.hidden).await.unwrap_or(outcome)
            }
        }
    }

    /// Connects and performs the TLS handshake without sending a message. When a proxy forwards
    /// `http`, only the proxy is connected to, and the phase is `proxy`.
    pub async fn probe(&self) -> Outcome {
        if let Err(outcome) = self.check_literals() {
            return outcome;
        }
        match self.obstacle() {
            None => self.route.probe(&self.hidden).await,
            Some(lacks) => failed_outcome(OutcomeClass::Local, TLS, lacks),
        }
    }

    /// What this machine lacks for sending, if anything.
    pub fn obstacle(&self) -> Option<String> {
        self.client.get().err()
    }

    /// Renders the event; the same event gives the same bytes.
    pub fn render(&self, event: &Event) -> Rendered {
        self.format.render(event, &self.context)
    }

    /// How bodies are rendered.
    pub const fn format(&self) -> &Format {
        &self.format
    }

    /// The longest duration of one attempt.
    pub const fn attempt_timeout(&self) -> Duration {
        let after = self.timeout.saturating_add(EXCERPT_TIMEOUT);
        if self.route.proxy.is_some() { after.saturating_add(REFUSAL_TIMEOUT) } else { after }
    }

    /// A hash of the URL, which does not reveal it.
    pub fn fingerprint(&self) -> String {
        signature::fingerprint(&["webhook", self.route.url.as_str()])
    }

    /// Checks IP addresses in the URLs, which never pass the resolver.
    fn check_literals(&self) -> Result<(), Outcome> {
        let Route { url, host, proxy, egress, .. } = &*self.route;
        ssrf_guard::check_url(url, *egress).map_err(|refused| refused.outcome(host))?;
        let Some(proxy) = proxy else { return Ok(()) };
        ssrf_guard::check_url(&proxy.url, EgressPolicy::AllowPrivate)
            .map_err(|refused| refused.outcome(&proxy.host))
    }

    fn headers(&self, message: &OutboundMessage, body: &[u8], now: Timestamp) -> Option<HeaderMap> {
        let id = message.event_id.as_str();
        // Inserted after the custom headers, so that none of those replaces them.
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&message.content_type).ok()?);
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(now.as_seconds()));
        if let Some(signed) = signature::sign(id, now, body, &self.secrets) {
            let mut value = HeaderValue::from_str(&signed).ok()?;
            value.set_sensitive(true);
            headers.insert("webhook-signature", value);
        }
        Some(headers)
    }

    async fn classify(&self, mut response: Response, now: Timestamp) -> Outcome {
        let reason = response.status().canonical_reason().map(|reason| format!(" ({reason})"));
        let mut received = head(&response);
        body::read(&mut response, &mut received, EXCERPT_TIMEOUT).await;
        let snippet = excerpt::redacted_excerpt(&received.body_prefix, &self.hidden);
        let code = Some(received.status);
        if let Some(proxy) = self.route.proxy.as_ref().filter(|_| answered_by_proxy(&received)) {
            return proxy.refused(&self.route.host, &received, &self.hidden);
        }
        let meaning = self.format.classify(&received, self.accepts, now);
        let remark = meaning.remark.map(|remark| format!("; {remark}"));
        let undecoded = received.decode_error.as_ref();
        let undecoded =
            undecoded.map(|text| format!("; its body {}", Mask::new(&self.hidden).whole(text)));
        let error = format!(
            "`{}` answered {}{}{}{}",
            self.route.host,
            received.status,
            reason.unwrap_or_default(),
            remark.unwrap_or_default(),
            undecoded.unwrap_or_default()
        );
        Outcome {
            class: meaning.class,
            phase: RESPONSE,
            code,
            retry_after: meaning.retry_after,
            error: (meaning.class != OutcomeClass::Delivered).then_some(error),
            snippet,
            clock: received.clock(),
            scope: Scope::Channel,
            help: self.help(&meaning, received.status),
        }
    }

    /// How to fix a response that is not a success; `None` where the status says enough.
    fn help(&self, meaning: &Classification, status: u16) -> Option<&'static str> {
        match (meaning.class, status) {
            (OutcomeClass::Delivered, _) => None,
            (OutcomeClass::Ambiguous, _) => Some(UNCLEAR_HELP),
            (OutcomeClass::Throttled, _) => Some(RATE_LIMIT_HELP),
            (OutcomeClass::Misconfigured, _) if self.headers.is_empty() => Some(URL_HELP),
            (OutcomeClass::Misconfigured, _) => Some(LOGIN_HELP),
            (_, 200..=299) => Some(REFUSED_HELP),
            (_, 300..=399) => Some(REDIRECT_HELP),
            (_, 401 | 403) if self.secrets.is_empty() && self.headers.is_empty() => Some(URL_HELP),
            (_, 401 | 403) => Some(LOGIN_HELP),
            (OutcomeClass::Gone, _) => Some(GONE_HELP),
            (OutcomeClass::Rejected, _) => Some(MESSAGE_HELP),
            (_, 404 | 405) => Some(PATH_HELP),
            (_, 500..) => Some(SERVER_ERROR_HELP),
            _ => None,
        }
    }

    /// Whether a failure to connect may be the proxy's.
    fn may_be_proxy(&self, outcome: &Outcome, error: &reqwest::Error) -> bool {
        let of_certificate = |tls: &rustls::Error| !matches!(tls, rustls::Error::InvalidMessage(_));
        let trusted = !cause::<rustls::Error>(error).is_some_and(of_certificate);
        error.is_connect()
            && !error.is_timeout()
            && trusted
            && matches!(
                (outcome.class, outcome.phase),
                (OutcomeClass::Local | OutcomeClass::Misconfigured, AT_PROXY)
                    | (OutcomeClass::Retryable, CONNECT | TLS)
            )
    }

    /// Classifies an attempt without a response. Once connected, the request may have been
    /// accepted.
    fn request_failed(&self, error: &reqwest::Error) -> Outcome {
        let Route { host, proxy, .. } = &*self.route;
        let next = proxy.as_ref().map_or(host, |proxy| &proxy.host);
        if let Some(refused) = cause::<Blocked>(error) {
            return refused.outcome(next);
        }
        if let Some(unresolved) = cause::<UnresolvedHost>(error) {
            let outcome = unresolved.outcome(next);
            return match proxy {
                Some(proxy) => proxy.unreachable(outcome),
                None => outcome,
            };
        }
        let tls = cause::<rustls::Error>(error);
        if let Some(tls) = tls.filter(|_| error.is_connect()) {
            return transport_error::no_tls(host, tls, &self.hidden);
        }
        if error.is_connect() {
            let of_proxy = proxy.as_ref().and_then(|proxy| {
                proxy.not_connected(host, self.route.tunnel(), error.is_timeout(), error)
            });
            return of_proxy.unwrap_or_else(|| self.connect_failed(error));
        }
        if error.is_builder() {
            let text = "the request could not be built".to_owned();
            return failed_outcome(OutcomeClass::Retryable, REQUEST, text);
        }
        if transport_error::is_garbled(error) {
            let text = format!(
                "`{host}` sent a response that is not valid HTTP; it may have taken the \
                 message"
            );
            // A program recognizes a repeat by its id; people in a chat do not.
            let phase = if self.format.is_chat() { GARBLED } else { RESPONSE };
            return failed_outcome(OutcomeClass::Ambiguous, phase, text);
        }
        let text = match tls {
            Some(tls) => {
                format!("aborted TLS ({})", transport_error::tls_text(tls, &self.hidden))
            }
            None if error.is_timeout() => "did not answer in time".to_owned(),
            None => "sent no response".to_owned(),
        };
        let text = format!("`{host}` {text}; it may have accepted the message");
        failed_outcome(OutcomeClass::Ambiguous, RESPONSE, text)
    }

    fn connect_failed(&self, error: &reqwest::Error) -> Outcome {
        let host = &self.route.host;
        if error.is_timeout() && self.route.tunnel() == Tunnel::Requested {
            let text = format!("`{host}` could not be connected to with TLS in time");
            return failed_outcome(OutcomeClass::Retryable, CONNECT, text);
        }
        if error.is_timeout() {
            return transport_error::not_connected(host, &std::io::ErrorKind::TimedOut.into());
        }
        let unnamed = std::io::Error::other("");
        let cause = cause::<std::io::Error>(error).unwrap_or(&unnamed);
        transport_error::not_connected(host, cause)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.route.host).finish_non_exhaustive()
    }
}

/// The additional headers, marked as sensitive.
fn custom(headers: &[(CustomHeaderName, Secret)]) -> Result<HeaderMap, BuildError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let unfit = || BuildError::HeaderValue { name: name.to_string() };
        let key = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| unfit())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unfit())?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// The status and headers of a response.
fn head(response: &Response) -> HttpResponse {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    HttpResponse {
        status: response.status().as_u16(),
        headers: response.headers().iter().filter_map(text).collect(),
        ..HttpResponse::default()
    }
}

/// Whether the response comes from the proxy: it asks for authentication, or reports that it could
/// not forward the request (RFC 9209, and Squid).
fn answered_by_proxy(response: &HttpResponse) -> bool {
    let has_header = || PROXY_HEADERS.iter().any(|name| response.header(name).is_some());
    response.status == PROXY_LOGIN_REQUIRED || (response.status >= 400 && has_header())
}

const REQUEST: &str = "request";
const RESPONSE: &str = "response";
const PROXY_LOGIN_REQUIRED: u16 = 407;
const PROXY_HEADERS: [&str; 3] = ["proxy-status", "proxy-authenticate", "x-squid-error"];
const UNCLEAR_HELP: &str = "did the message arrive? If it did, write `accepts = \"any-2xx\"` in \
    this channel; if not, is `url` right?";
const RATE_LIMIT_HELP: &str = "wait a while; does another program send to the same URL?";
const REFUSED_HELP: &str = "read its response; is `url` right, and is there no sign-in page in \
    between?";
const REDIRECT_HELP: &str = "write the target of the redirect into `url`";
const URL_HELP: &str = "is `url` complete and still valid?";
const LOGIN_HELP: &str =
    "does the receiver have the `secret` of this channel, and are its `headers` right?";
const GONE_HELP: &str = "create a new webhook, and write its URL into `url`";
const MESSAGE_HELP: &str = "read its response; is `format` the one that it expects?";
const PATH_HELP: &str = "is the path of `url` right, and does it accept POST?";
const SERVER_ERROR_HELP: &str = "read the log of the receiver";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The share of a short timeout for connecting, so that a timeout shows which step was slow.
const CONNECT_SHARE: f32 = 0.75;
/// The limit of reading a body after the head has arrived.
const EXCERPT_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_refused_and_not_shown() {
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
