//! Who may do what: the decisions about a request, before anything else reads it.
//!
//! Invariants: no foreign web page can read or change anything through a browser, since the name
//! that was asked for must be one of ours (DNS rebinding), and a change must come from our own page
//! (CSRF). A change takes the token. Reading takes it too, unless the config makes it public, or
//! leaves it to this machine and nothing in the request shows a proxy.

use std::borrow::Cow;
use std::iter::once;

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::domain::read_access::ReadAccess;
use crate::secret::Secret;
use crate::web::list_header::{Element, elements};

/// What the config says about who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPolicy {
    /// What has to be shown; `None` is never enough.
    pub token: Option<Secret>,
    /// Names that lead here, besides `localhost` and addresses; in lower case.
    pub hosts: Vec<String>,
    /// What reading takes.
    pub read: ReadAccess,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A header that decides about access is there more than once.
    Repeated(&'static str),
    /// It names no host (RFC 9112, section 3.2).
    NoHost,
    /// It asked for a name that is not ours.
    Host,
    /// It would change something, and comes from another site's page.
    Origin,
    /// It has to show the token, and shows none or another.
    Token,
    /// It would need a token, and the config has none.
    NoToken,
}

impl AccessPolicy {
    /// Whether a request is for us and says one thing only: what holds on every route.
    ///
    /// `nameless` routes also take HTTP/1.0 without a `Host`, as load balancers probe. A browser
    /// always names the host, so that this opens nothing to a foreign page.
    ///
    /// # Errors
    /// [`Refusal::Repeated`], [`Refusal::NoHost`] and [`Refusal::Host`].
    pub fn check_request<B>(&self, request: &Request<B>, nameless: bool) -> Result<(), Denied> {
        let headers = request.headers();
        let repeated = |name: &&str| headers.get_all(*name).iter().nth(1).is_some();
        if let Some(name) = SINGLE.into_iter().find(repeated) {
            return Err(Denied::Repeated(name));
        }
        if !headers.contains_key(HOST) {
            let may = nameless && request.version() == Version::HTTP_10;
            return if may { Ok(()) } else { Err(Denied::NoHost) };
        }
        let host = host(request.uri(), headers).ok_or(Denied::Host)?;
        if self.is_ours(host) { Ok(()) } else { Err(Denied::Host) }
    }

    /// Whether a request may read or change what it asks for.
    ///
    /// # Errors
    /// When it may not, and why; also all of [`Rules::screen`].
    pub fn authorize<B>(&self, request: &Request<B>) -> Result<(), Denied> {
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
                if shown(headers).is_some_and(|it| constant_time_eq(&it, token.expose())) =>
            {
                Ok(())
            }
            Some(_) => Err(Denied::Token),
        }
    }

    /// Whether a browser says that the request comes from a page of ours, or no browser speaks. Our
    /// page is at the host that was asked for, and at those of ours that a proxy was asked for: no
    /// foreign page can make a browser send what a proxy adds.
    fn is_from_our_page(&self, host: &str, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return false;
        }
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Some((place, port)) = authority_of(origin.to_str().unwrap_or_default()) else {
            return false;
        };
        let of_proxy = elements(headers, "x-forwarded-host").into_iter().map(|it| it.value);
        let forwarded = forwarded_hosts(headers);
        let of_proxy = of_proxy.chain(forwarded).filter(|host| self.is_ours(host));
        let passed_on = headers.keys().any(is_forwarding);
        once(host.to_owned()).chain(of_proxy).any(|host| {
            let (name, asked_port) = split_port(&host);
            name.eq_ignore_ascii_case(place)
                && match asked_port {
                    Some(asked) => asked.parse() == Ok(port.0),
                    // Many a proxy is told to leave the port out (`$host` of nginx).
                    None => passed_on || port.1,
                }
        })
    }

    /// Whether a host, with or without a port, is one of ours. An address is: no name had to be
    /// looked up, so nobody can have bent where it leads.
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
    /// The status of the answer (RFC 9110, section 15.5; RFC 9110, section 7.4 for 421).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Repeated(_) | Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::NoToken => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// What is wrong, and how to fix it.
    pub fn words(self) -> Cow<'static, str> {
        let text = match self {
            Self::Repeated(name) => return format!("send `{name}` once, not repeatedly").into(),
            Self::NoHost => "name the host that you ask, in `Host`",
            Self::Host => {
                "this name is not known here; open the page by its address, or list the name \
                 under `hosts` in `[web]`"
            }
            Self::Origin => {
                "a change must come from this page itself, not from another one; a proxy has to \
                 pass on the host that was asked for, with its port (`$http_host` of nginx)"
            }
            Self::Token => {
                "show the token of `[web]`: as `Authorization: Bearer TOKEN`, or as the password \
                 of a browser's login, with any user name"
            }
            Self::NoToken => {
                "this needs a token, and `[web]` has no `token`; set one, or let everybody read \
                 with `read = \"public\"`"
            }
        };
        text.into()
    }
}

/// Whether two texts are the same, without telling by its time how much of them is.
pub fn constant_time_eq(given: &str, expected: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let pairs = digest(given).into_iter().zip(digest(expected));
    pairs.fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// The host that was asked for; `None` when there is not exactly one.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut named = headers.get_all(HOST).iter();
    let host = named.next()?.to_str().ok()?;
    let alike = uri.authority().is_none_or(|authority| authority.as_str() == host);
    (named.next().is_none() && alike && !host.is_empty()).then_some(host)
}

/// Whether a proxy passed a request on, as far as it shows: by any header that proxies add, or by
/// HTTP/1.0, which no browser speaks, and which nginx did by default up to 1.29.
fn is_forwarded<B>(request: &Request<B>) -> bool {
    request.version() != Version::HTTP_11 || request.headers().keys().any(is_forwarding)
}

/// Whether a header is one that proxies add, of a known kind or not: every `x-…` that clients do
/// not send by themselves, and every name with a word of [`FORWARDING_WORDS`].
fn is_forwarding(name: &HeaderName) -> bool {
    let mut words = name.as_str().split(['-', '_']);
    let is_extension = words.clone().next() == Some("x");
    (is_extension && !CLIENT_HEADERS.contains(&name.as_str()))
        || words.any(|word| FORWARDING_WORDS.contains(&word))
}

/// The hosts that proxies were asked for (RFC 7239).
fn forwarded_hosts(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let hosts = |element: Element| {
        // Its elements are nothing but parameters, the first of which looks like a value.
        let first = element.value.split_once('=');
        let first = first.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let all = first.into_iter().chain(element.parameters);
        all.filter(|(name, _)| name == "host").map(|(_, value)| value.trim_matches('"').to_owned())
    };
    elements(headers, FORWARDED).into_iter().flat_map(hosts)
}

/// The host of an origin, its port, and whether that is the usual one of its scheme.
fn authority_of(origin: &str) -> Option<(&str, (u16, bool))> {
    let (scheme, place) = origin.split_once("://")?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (name, port) = split_port(place);
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

/// The token of a request: a bearer's (RFC 6750), or the password of a login (RFC 7617).
fn shown(headers: &HeaderMap) -> Option<String> {
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

/// The host without its port; `None` when what stands there is no port.
fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        Some((_, rest)) if rest.contains(']') => Some(host),
        Some((name, port)) => port.bytes().all(|byte| byte.is_ascii_digit()).then_some(name),
        None => Some(host),
    }
}

/// Headers that may be there once: each decides about access, and of two the wrong one could count.
const SINGLE: [&str; 4] = ["host", "origin", "sec-fetch-site", "authorization"];
/// Extension headers that clients send by themselves: browser scripts, and Prometheus.
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
