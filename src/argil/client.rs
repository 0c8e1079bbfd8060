//! The client: sends one request to the API within a time limit, and returns an observation.
//!
//! The key is sent to the configured host only: redirects are not followed, and no proxy, referer
//! or cookie is used. Connections are kept alive, since a handshake per poll is expensive. A
//! request is repeated once, on a new connection, if a kept one was closed or may lead to an
//! outdated address; other retries are left to the caller.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use url::Url;

use crate::argil::error::ArgilError;
use crate::argil::list_parser::{LIST_SIZE_MAX, ListParser, Parsed};
use crate::argil::pool::{ApiTarget, CONNECT_MAX, Pool, PoolError, PoolManager, READ_TIMEOUT};
use crate::argil::response::{self, ApiResponse, Failure};
use crate::argil::transport_error::{self, Stage};
use crate::content_coding::{CodingError, Decoded, End, decode};
use crate::domain::avatar::AvatarId;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Observation, PollError};
use crate::domain::time::timestamp::Timestamp;
use crate::mask::Mask;
use crate::secret::Secret;

/// The parameters of a client.
#[derive(Clone, Debug)]
pub struct ApiClientSpec {
    /// The base URL, such as `https://api.argil.ai/v1`, with or without a trailing slash.
    pub base_url: Url,
    /// The key of the account.
    pub api_key: Secret,
    /// The timeout of one poll, including a repeated request.
    pub timeout: Duration,
}

/// Polls avatars with one key. Keep and share it: it holds the connections.
pub struct Client {
    pools: PoolManager,
    /// `{base_url}/avatars`.
    avatars: Url,
    /// The host, with the port if it is not the default, for error texts.
    host: String,
    /// Masks the key in all texts of the API.
    mask: Mask,
    timeout: Duration,
    /// The number of repeated requests.
    reconnects: AtomicU64,
    /// Whether a response was ever received: before the first, no connection can have been kept.
    answered: AtomicBool,
    /// The `Date` of the last response, in milliseconds; zero before the first.
    last_date_ms: AtomicI64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client without sending anything. Missing local resources, such as CA certificates,
    /// may appear later: every poll retries.
    ///
    /// # Errors
    /// When the base URL or the key cannot be used.
    pub fn new(spec: ApiClientSpec) -> Result<Self, ArgilError> {
        let (avatars, host) = avatars_url(spec.base_url)?;
        let headers = headers(&spec.api_key)?;
        // A provider may have been installed already; any of them works.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let target = ApiTarget { url: avatars.clone(), headers, timeout: spec.timeout };
        Ok(Self {
            pools: PoolManager::new(target),
            avatars,
            host,
            mask: Mask::new([spec.api_key.expose()]),
            timeout: spec.timeout,
            reconnects: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            last_date_ms: AtomicI64::new(0),
        })
    }

    /// Polls one avatar. Never fails and never exceeds the timeout: every error is an observation.
    /// Dropping the future drops the request.
    pub async fn get_avatar(&self, id: &AvatarId, now: Timestamp) -> Observation {
        match self.fetch(&self.url(id), Endpoint::Avatar, now).await {
            Ok(answer) => response::classify(&answer, id, &self.mask, now),
            Err(failure) => self.failed(failure, now),
        }
    }

    /// The local resource that is missing, so that no request can be sent.
    pub fn obstacle(&self) -> Option<String> {
        Some(transport_error::not_built(&self.pools.ensure_built()?, &self.mask))
    }

    /// The number of repeated requests so far.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Polls all avatars of the account with one request, under the same rules.
    pub async fn list_avatars(&self, now: Timestamp) -> ListObservation {
        let mut url = self.avatars.clone();
        url.query_pairs_mut().append_pair("visibility", "private");
        match self.fetch(&url, Endpoint::List, now).await {
            Ok(answer) => response::classify_list(answer, &self.mask, now),
            Err(failure) => ListObservation::Failed(self.failed(failure, now)),
        }
    }

    /// No response. If the certificate is not trusted, the local clock may be wrong: certificates
    /// have a validity period, and the API sent its time earlier.
    fn failed(&self, (fault, mut reason): Failure, now: Timestamp) -> Observation {
        let last_date = Timestamp::from_millis(self.last_date_ms.load(Ordering::Relaxed));
        if fault == PollError::Misrouted && last_date.since(now) > CLOCK_SKEW_MAX {
            reason.push_str(&format!(
                "; the last answer was dated {last_date}, and it is {now} here: this machine's \
                 clock is wrong"
            ));
        }
        Observation::Failed { fault, reason }
    }

    /// Sends a request. A surprising response on an old connection is verified on a new one, after
    /// resolving the name again: the API may have moved.
    async fn fetch(
        &self,
        url: &Url,
        endpoint: Endpoint,
        now: Timestamp,
    ) -> Result<ApiResponse, Failure> {
        let pool = self.pools.current(now).await.map_err(|error| self.without_pool(error))?;
        let answer = self.fetch_and_record(&pool, url, endpoint).await;
        let is_surprising =
            answer.as_ref().is_ok_and(|answer| endpoint.confirmed_codes().contains(&answer.code));
        if pool.is_fresh(now) || !is_surprising {
            return answer;
        }
        let newer = self.pools.renewed(Some(&pool), now).await;
        let pool = newer.map_err(|error| self.without_pool(error))?;
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        self.fetch_and_record(&pool, url, endpoint).await
    }

    /// Sends a request on one pool, and records whether the pool stays usable.
    async fn fetch_and_record(
        &self,
        pool: &Arc<Pool>,
        url: &Url,
        endpoint: Endpoint,
    ) -> Result<ApiResponse, Failure> {
        let answer = self.fetch_on(pool, url, endpoint).await;
        match &answer {
            Ok(answer) => self.pools.record(pool, answer.code != 200),
            Err(_) => self.pools.abandon(pool),
        }
        answer
    }

    fn without_pool(&self, error: PoolError) -> Failure {
        match error {
            PoolError::Unresolved(error) => {
                (PollError::Unresolved, format!("cannot resolve `{}`: {error}", self.host))
            }
            PoolError::Unbuilt(error) => {
                (PollError::Local, transport_error::not_built(&error, &self.mask))
            }
        }
    }

    /// Sends a request on one pool, and reads the response within the limits.
    async fn fetch_on(
        &self,
        pool: &Arc<Pool>,
        url: &Url,
        endpoint: Endpoint,
    ) -> Result<ApiResponse, Failure> {
        let mut limit = pin!(tokio::time::sleep(self.timeout));
        let mut response = tokio::select! {
            biased;
            sent = self.send(pool, url) => sent?,
            () = &mut limit => {
                let reason = format!("no answer within {:?}", self.timeout);
                return Err((PollError::Unreachable, reason));
            }
        };
        let mut answer = head(&response);
        if let Some(date) = answer.date.as_deref().and_then(Timestamp::parse_http_date) {
            self.last_date_ms.store(date.as_millis(), Ordering::Relaxed);
        }
        let late = || {
            let reason = format!("no complete answer within {:?}", self.timeout);
            (PollError::Unreachable, reason)
        };
        let codings = codings(&response);
        let (end, size_max) = if endpoint == Endpoint::List && answer.code == 200 {
            let parser = ListParser::start(codings, self.mask.clone());
            answer.failure = tokio::select! {
                biased;
                fed = self.feed(&mut response, &parser) => fed.err(),
                () = &mut limit => Some(late()),
            };
            let Parsed { list, end } = parser.end().await;
            answer.list = Some(list);
            (end, LIST_SIZE_MAX)
        } else {
            let mut body = Vec::new();
            answer.failure = tokio::select! {
                biased;
                read = self.read(&mut response, &mut body) => read.err(),
                () = &mut limit => Some(late()),
            };
            let decoded = decode(codings.iter().map(String::as_str), &body, BODY_SIZE_MAX);
            let end = decoded.map(|Decoded { bytes, end }| {
                // A body that broke off within its coding is not interpreted.
                answer.body = if end == End::Truncated { Vec::new() } else { bytes };
                end
            });
            (end, BODY_SIZE_MAX)
        };
        let (undecoded, own) = undecoded(end, size_max, &self.mask);
        answer.decode_error = undecoded;
        answer.failure = answer.failure.or(own);
        Ok(answer)
    }

    /// Sends the request, and once more on a fresh connection if it died on a kept one.
    async fn send(&self, pool: &Pool, url: &Url) -> Result<reqwest::Response, Failure> {
        let error = match pool.keep_alive.get(url.clone()).send().await {
            Ok(response) => {
                self.answered.store(true, Ordering::Relaxed);
                return Ok(response);
            }
            Err(error) => error,
        };
        if !self.answered.load(Ordering::Relaxed) || !died_before_answer(&error) {
            return Err(self.describe(error, Stage::Response));
        }
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        let second = pool.one_shot.get(url.clone()).send().await;
        second.map_err(|error| self.describe(error, Stage::Response))
    }

    /// Reads the body up to the size limit.
    async fn read(
        &self,
        response: &mut reqwest::Response,
        body: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        while let Some(chunk) = self.chunk(response).await? {
            if body.len() + chunk.len() > BODY_SIZE_MAX {
                return Err(too_large(BODY_SIZE_MAX));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Passes the body on while more is wanted.
    async fn feed(
        &self,
        response: &mut reqwest::Response,
        parser: &ListParser,
    ) -> Result<(), Failure> {
        while let Some(chunk) = self.chunk(response).await? {
            if !parser.feed(chunk).await {
                break;
            }
        }
        Ok(())
    }

    async fn chunk(&self, response: &mut reqwest::Response) -> Result<Option<Bytes>, Failure> {
        response.chunk().await.map_err(|error| self.describe(error, Stage::Body))
    }

    /// `{base_url}/avatars/{id}`; `push` encodes the id so that it stays one segment.
    fn url(&self, id: &AvatarId) -> Url {
        let mut url = self.avatars.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(id.as_str());
        }
        url
    }

    /// The error of the library as a reason. Timeouts are checked first, since they also claim to
    /// be a failure of the interrupted step.
    fn describe(&self, error: reqwest::Error, stage: Stage) -> Failure {
        let error = error.without_url();
        let host = &self.host;
        let stage = match stage {
            Stage::Response if error.is_dns() => Stage::Resolve,
            Stage::Response if error.is_connect() => Stage::Connect,
            Stage::Resolve | Stage::Connect | Stage::Response | Stage::Body => stage,
        };
        if !error.is_timeout() {
            let fault = transport_error::classify(&error);
            return (fault, transport_error::describe(&error, stage, host, &self.mask));
        }
        let silence = self.timeout.min(READ_TIMEOUT);
        let reason = match stage {
            Stage::Resolve | Stage::Connect => {
                format!("no connection to `{host}` within {:?}", self.timeout.min(CONNECT_MAX))
            }
            Stage::Response => format!("no answer within {silence:?}"),
            Stage::Body => format!("the answer stalled: nothing more within {silence:?}"),
        };
        (PollError::Unreachable, reason)
    }
}

/// The requested resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Avatar,
    List,
}

impl Endpoint {
    /// The responses that persist. For an avatar: the key is refused, or there is no such avatar.
    /// Whether there is a list says nothing about avatars.
    const fn confirmed_codes(self) -> &'static [u16] {
        match self {
            Self::Avatar => &[401, 403, 404],
            Self::List => &[401],
        }
    }
}

fn too_large(size_max: usize) -> Failure {
    (PollError::RequestRejected, format!("the answer is larger than {} KiB", size_max / 1024))
}

/// Whether the connection broke before a response: then the request may be repeated, since it is
/// idempotent.
fn died_before_answer(error: &reqwest::Error) -> bool {
    !error.is_timeout() && !error.is_connect() && transport_error::closed_before_answer(error)
}

/// The values of `Content-Encoding`.
fn codings(response: &reqwest::Response) -> Vec<String> {
    let codings = response.headers().get_all(header::CONTENT_ENCODING).iter();
    codings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// Why a decoded body cannot be used, as text and as a kind of failure.
type Undecoded = (Option<String>, Option<Failure>);

fn undecoded(end: Result<End, CodingError>, size_max: usize, mask: &Mask) -> Undecoded {
    match end {
        Ok(End::Whole) => (None, None),
        Ok(End::TooLarge) => (None, Some(too_large(size_max))),
        Ok(End::Truncated) => {
            let why = "broke off within its content coding".to_owned();
            let flaw = (PollError::Unreachable, format!("the answer {why}"));
            (Some(why), Some(flaw))
        }
        Err(error) => {
            // The name of a coding comes from the server.
            let why = mask.whole(&error.to_string()).into_owned();
            let flaw = (PollError::UnknownEncoding, format!("the answer {why}"));
            (Some(why), Some(flaw))
        }
    }
}

/// What is interpreted of the head of a response.
fn head(response: &reqwest::Response) -> ApiResponse {
    let headers = response.headers();
    let redirect_host = text(response, header::LOCATION)
        .filter(|_| response.status().is_redirection())
        .and_then(|place| response.url().join(place).ok())
        .and_then(|target| target.host_str().map(str::to_owned));
    let is_paging =
        |name: &str| name.starts_with("x-total") || name.starts_with("x-page") || name == "link";
    ApiResponse {
        code: response.status().as_u16(),
        retry_after: headers
            .get_all(header::RETRY_AFTER)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
            .collect(),
        date: text(response, header::DATE).map(str::to_owned),
        redirect_host,
        paging: headers
            .iter()
            .filter(|(name, _)| is_paging(name.as_str()))
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect(),
        ..ApiResponse::default()
    }
}

fn text(response: &reqwest::Response, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// `{base_url}/avatars`, and the host for error texts.
fn avatars_url(mut base: Url) -> Result<(Url, String), ArgilError> {
    let wrong = |reason| Err(ArgilError::BaseUrl { reason });
    if !matches!(base.scheme(), "http" | "https") {
        return wrong("must begin with `https://` or `http://`");
    }
    if !base.username().is_empty() || base.password().is_some() {
        return wrong("must not contain a user name or a password");
    }
    if base.query().is_some() || base.fragment().is_some() {
        return wrong("must not contain `?` or `#`");
    }
    let host = match (base.host_str(), base.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return wrong("has no host"),
    };
    match base.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().push("avatars"),
        Err(()) => return wrong("has no path"),
    };
    Ok((base, host))
}

/// The headers of every request.
fn headers(key: &Secret) -> Result<HeaderMap, ArgilError> {
    if key.expose().is_empty() {
        return Err(ArgilError::Key { reason: "is empty" });
    }
    // The error of the library adds nothing to this text.
    let mut key = HeaderValue::from_str(key.expose())
        .map_err(|_| ArgilError::Key { reason: "has characters that no header can carry" })?;
    key.set_sensitive(true);
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert("x-api-key", key);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(headers)
}

/// The clock is wrong if it is behind the last `Date` of the API by more than this.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// The maximum size of a decompressed body; an avatar has about 2 KB.
const BODY_SIZE_MAX: usize = 256 * 1024;
