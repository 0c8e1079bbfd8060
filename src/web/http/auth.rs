//! Authorization: decides about a request before anything else reads it.
//!
//! Invariants: another web page can neither read nor change anything through a browser, because
//! `Host` must be one of our names (DNS rebinding) and changes must come from our own page (CSRF).
//! A change requires the token. Reading requires it too, unless `read` is `public`, or `local` and
//! nothing in the request shows a proxy.

use std::borrow::Cow;
use std::iter::once;

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::domain::read_access::ReadAccess;
use crate::secret::Secret;
use crate::web::http::list_header::{Element, elements};

/// The access rules of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The token; with `None`, no request is authorized by a token.
    pub token: Option<Secret>,
    /// Accepted host names besides `localhost` and IP addresses; in lower case.
    pub hosts: Vec<String>,
    /// The rule for reading.
    pub read: ReadAccess,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Denied {
    /// A header that decides about access is repeated.
    Repeated(&'static str),
    /// `Host` is missing (RFC 9112, section 3.2).
    NoHost,
    /// `Host` is not one of our names.
    Host,
    /// A change that comes from a page of another site.
    Origin,
    /// The token is missing or wrong.
    Token,
    /// A token is required, and the config has none.
    NoToken,
}

impl AccessPolicy {
    /// The checks for every route: no repeated access headers, and `Host` is one of our names.
    ///
    /// With `hostless`, HTTP/1.0 without `Host` is accepted, for the probes of load balancers.
    /// Browsers always send `Host`, so this permits nothing to other web pages.
    pub(in crate::web) fn check_request<B>(
        &self,
        request: &Request<B>,
        hostless: bool,
    ) -> Result<(), Denied> {
        let headers = request.headers();
        let repeated = |name: &&str| headers.get_all(*name).iter().nth(1).is_some();
        if let Some(name) = SINGLE.into_iter().find(repeated) {
            return Err(Denied::Repeated(name));
        }
        if !headers.contains_key(HOST) {
            let accepted = hostless && request.version() == Version::HTTP_10;
            return if accepted { Ok(()) } else { Err(Denied::NoHost) };
        }
        let host = host(request.uri(), headers).ok_or(Denied::Host)?;
        if self.is_ours(host) { Ok(()) } else { Err(Denied::Host) }
    }

    /// Authorizes a request to read or to change.
    pub(in crate::web) fn authorize<B>(&self, request: &Request<B>) -> Result<(), Denied> {
        self.check_request(request, false)?;
        let headers = request.headers();
        let host = host(request.uri(), headers).ok_or(Denied::Host)?;
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && !self.is_from_our_page(host, headers) {
            return Err(Denied::Origin);
        }
        let is_open = match self.read {
            ReadAccess::Public => true,
            ReadAccess::Local => !is_forwarded(request),
            ReadAccess::Token => false,
        };
        if is_open && !changes {
            return Ok(());
        }
        match &self.token {
            None => Err(Denied::NoToken),
            Some(token)
                if sent_token(headers).is_some_and(|it| constant_time_eq(&it, token.expose())) =>
            {
                Ok(())
            }
            Some(_) => Err(Denied::Token),
        }
    }

    /// Whether a request comes from our own page, or not from a browser. Our own page has the
    /// origin in `Host`, or one that a proxy passes on and that is in `hosts`: another page cannot
    /// make a browser send the headers that proxies add.
    fn is_from_our_page(&self, host: &str, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return false;
        }
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Some((origin_host, port)) = authority_of(origin.to_str().unwrap_or_default()) else {
            return false;
        };
        let of_proxy = elements(headers, "x-forwarded-host").into_iter().map(|it| it.value);
        let forwarded = forwarded_hosts(headers);
        let of_proxy = of_proxy.chain(forwarded).filter(|host| self.is_ours(host));
        let has_proxy = headers.keys().any(is_forwarding);
        once(host.to_owned()).chain(of_proxy).any(|host| {
            let (name, host_port) = split_port(&host);
            name.eq_ignore_ascii_case(origin_host)
                && match host_port {
                    Some(host_port) => host_port.parse() == Ok(port.0),
                    // Proxies are often configured to drop the port (`$host` of nginx).
                    None => has_proxy || port.1,
                }
        })
    }

    /// Whether a host, with or without a port, is one of ours. An IP address always is: without a
    /// DNS query there is no DNS rebinding.
    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.split('.').any(str::is_empty) {
            return false;
        }
        name == "localhost" || name.ends_with(".localhost") || self.hosts.contains(&name)
    }
}

impl Denied {
    /// The status of the response (RFC 9110, section 15.5; section 7.4 for 421).
    pub(in crate::web) const fn status(self) -> StatusCode {
        match self {
            Self::Repeated(_) | Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::NoToken => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// The reason, and how to fix it.
    pub(in crate::web) fn text(self) -> Cow<'static, str> {
        let text = match self {
            Self::Repeated(name) => {
                return format!("repeated header `{name}`: send it once").into();
            }
            Self::NoHost => "missing header `Host`",
            Self::Host => {
                "unknown host name; use the IP address, or add the name to `hosts` in `[web]`"
            }
            Self::Origin => {
                "changes must come from this page, not from another origin; a proxy must pass on \
                 the original `Host` with its port (`$http_host` of nginx)"
            }
            Self::Token => {
                "log in with any user name and, as the password, the `token` of `[web]`; programs \
                 send it as `Authorization: Bearer TOKEN`"
            }
            Self::NoToken => {
                "this requires a token, and `[web]` has no `token`; set one, or permit reading \
                 without it by `read = \"public\"`"
            }
        };
        text.into()
    }
}

/// Compares two texts in a time that does not depend on where they differ.
pub(in crate::web) fn constant_time_eq(given: &str, expected: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let pairs = digest(given).into_iter().zip(digest(expected));
    pairs.fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// The host of the request; `None` when there is not exactly one.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut named = headers.get_all(HOST).iter();
    let host = named.next()?.to_str().ok()?;
    let alike = uri.authority().is_none_or(|authority| authority.as_str() == host);
    (named.next().is_none() && alike && !host.is_empty()).then_some(host)
}

/// Whether a request shows signs of a proxy: a header that proxies add, or HTTP/1.0, which no
/// browser uses and which was the default of nginx up to 1.29.
fn is_forwarded<B>(request: &Request<B>) -> bool {
    request.version() != Version::HTTP_11 || request.headers().keys().any(is_forwarding)
}

/// Whether proxies add this header: every `x-…` that clients do not send on their own, and every
/// name with a word of [`FORWARDING_WORDS`].
fn is_forwarding(name: &HeaderName) -> bool {
    let mut words = name.as_str().split(['-', '_']);
    let is_extension = words.clone().next() == Some("x");
    (is_extension && !CLIENT_HEADERS.contains(&name.as_str()))
        || words.any(|word| FORWARDING_WORDS.contains(&word))
}

/// The hosts in `Forwarded` (RFC 7239).
fn forwarded_hosts(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let hosts = |element: Element| {
        // Its elements consist of parameters only; the first one is parsed as the value.
        let first = element.value.split_once('=');
        let first = first.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let all = first.into_iter().chain(element.parameters);
        all.filter(|(name, _)| name == "host").map(|(_, value)| value.trim_matches('"').to_owned())
    };
    elements(headers, FORWARDED).into_iter().flat_map(hosts)
}

/// The host of an origin, its port, and whether that is the default of its scheme.
fn authority_of(origin: &str) -> Option<(&str, (u16, bool))> {
    let (scheme, authority) = origin.split_once("://")?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (name, port) = split_port(authority);
    let port = port.map_or(Ok(usual), str::parse).ok()?;
    Some((name, (port, port == usual)))
}

/// A host and its port, if it has one.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    }
}

/// The token of a request: a bearer token (RFC 6750), or the password of a basic login (RFC 7617).
fn sent_token(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = given.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(given.trim()).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// The host without its port; `None` when the port is not a number.
fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        Some((_, rest)) if rest.contains(']') => Some(host),
        Some((name, port)) => port.bytes().all(|byte| byte.is_ascii_digit()).then_some(name),
        None => Some(host),
    }
}

/// Headers that decide about access and must not be repeated: the wrong one could be used.
const SINGLE: [&str; 4] = ["host", "origin", "sec-fetch-site", "authorization"];
/// Extension headers that clients send on their own: browser scripts, and Prometheus.
const CLIENT_HEADERS: [&str; 2] = ["x-requested-with", "x-prometheus-scrape-timeout-seconds"];
/// Words in the names of headers that proxies add, such as `Forwarded`, `Via`, `Client-IP`,
/// `CF-Ray`, `CDN-Loop`, `Max-Forwards`, `Remote-User`, `Surrogate-Capability`.
const FORWARDING_WORDS: [&str; 17] = [
    "akamai",
    "cdn",
    "cf",
    "client",
    "cloudfront",
    "fastly",
    "fly",
    "forwarded",
    "forwards",
    "front",
    "ip",
    "original",
    "proxy",
    "remote",
    "surrogate",
    "tailscale",
    "via",
];

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
