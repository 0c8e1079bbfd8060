//! Who may do what: the one decision about a request, before anything else looks at it.
//!
//! What always holds: no web page of another place can read or change anything through a browser,
//! since the name that was asked for must be one of ours (DNS rebinding), and a change must come
//! from the page itself (CSRF). A change takes the token; reading takes it too unless the listener
//! is loopback and nobody passed the request on.

use std::iter::once;

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;
use crate::web::list_header::{Element, elements};

/// What the config says about who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What has to be shown; `None` is never enough.
    pub token: Option<Secret>,
    /// Names that lead here, besides `localhost` and addresses; in lower case.
    pub hosts: Vec<String>,
    /// Whether the listener is loopback, where everybody may read.
    pub loopback: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It asked for a name that is not ours, or for none.
    Host,
    /// It would change something, and comes from another place's page.
    Origin,
    /// It has to show the token, and shows none or another.
    Token,
    /// It would need a token, and the config has none.
    NoToken,
}

impl Rules {
    /// Whether a request may go on.
    ///
    /// # Errors
    /// When it may not, and why.
    pub fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = host(uri, headers).ok_or(Refusal::Host)?;
        if !self.is_ours(host) {
            return Err(Refusal::Host);
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && !self.is_from_our_page(host, headers) {
            return Err(Refusal::Origin);
        }
        if !changes && self.loopback && !is_passed_on(headers) {
            return Ok(());
        }
        match &self.token {
            None => Err(Refusal::NoToken),
            Some(token) if shown(headers).is_some_and(|it| same(&it, token.expose())) => Ok(()),
            Some(_) => Err(Refusal::Token),
        }
    }

    /// Whether a request seems to come from a proxy of this machine that does not say so: it asks
    /// for a name that leads here from elsewhere, or a browser speaks as none has for decades.
    pub fn is_passed_on_unsaid<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        if !self.loopback || is_passed_on(headers) {
            return false;
        }
        let asked = host(request.uri(), headers).and_then(without_port).unwrap_or_default();
        let asked = asked.strip_suffix('.').unwrap_or(asked).to_ascii_lowercase();
        let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_old = request.version() == Version::HTTP_10;
        self.hosts.contains(&asked) || (is_old && agent.starts_with(b"Mozilla/"))
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
        let Some((place, port)) = place_of(origin.to_str().unwrap_or_default()) else {
            return false;
        };
        let of_proxy = elements(headers, "x-forwarded-host").into_iter().map(|it| it.value);
        let forwarded = forwarded_hosts(headers);
        let of_proxy = of_proxy.chain(forwarded).filter(|host| self.is_ours(host));
        let passed_on = is_passed_on(headers);
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

impl Refusal {
    /// The status of the answer (RFC 9110, section 15.5; RFC 9110, section 7.4 for 421).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::NoToken => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// What is wrong, and how to mend it.
    pub const fn words(self) -> &'static str {
        match self {
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
            Self::NoToken => "this needs a token, and `[web]` has no `token`",
        }
    }
}

/// Whether two texts are the same, without telling by its time how much of them is.
pub fn same(given: &str, expected: &str) -> bool {
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

/// Whether a proxy passed it on.
fn is_passed_on(headers: &HeaderMap) -> bool {
    let named = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || PASSED_ON.contains(&name)
    };
    headers.keys().any(named)
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
fn place_of(origin: &str) -> Option<(&str, (u16, bool))> {
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

/// What a proxy adds; whoever it speaks for is not on this machine, as far as we know.
const PASSED_ON: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "CANARY-of-16_abc";

    fn rules(loopback: bool) -> Rules {
        Rules {
            token: Some(Secret::new(TOKEN)),
            hosts: vec!["watch.example.com".to_owned()],
            loopback,
        }
    }

    #[track_caller]
    fn check(rules: &Rules, request: &str, expected: Result<(), Refusal>) {
        let mut words = request.split_terminator("; ");
        let method = Method::from_bytes(words.next().unwrap().as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        for header in words {
            let (name, value) = header.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(rules.admit(&method, &Uri::from_static("/"), &headers), expected, "{request}");
    }

    #[test]
    fn only_names_of_ours_are_answered() {
        for host in ["127.0.0.1:8787", "[::1]:8787", "10.1.2.3", "localhost", "LocalHost.:80"] {
            check(&rules(true), &format!("GET; host: {host}"), Ok(()));
        }
        check(&rules(true), "GET; host: watch.example.com:443", Ok(()));
        check(&rules(true), "GET; host: WATCH.example.com", Ok(()));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "x:y:z"] {
            check(&rules(true), &format!("GET; host: {host}"), Err(Refusal::Host));
        }
        for host in ["localhost:80@evil.example", "localhost:x", "localhost..", ".localhost", "."] {
            check(&rules(true), &format!("GET; host: {host}"), Err(Refusal::Host));
        }
        check(&rules(true), "GET", Err(Refusal::Host));
        check(&rules(true), "GET; host: localhost; host: localhost", Err(Refusal::Host));
    }

    #[test]
    fn reading_is_open_on_loopback_and_nowhere_else() {
        check(&rules(true), "GET; host: localhost", Ok(()));
        check(&rules(false), "GET; host: localhost", Err(Refusal::Token));
        check(
            &rules(false),
            &format!("GET; host: a.localhost; authorization: Bearer {TOKEN}"),
            Ok(()),
        );
        let basic = STANDARD.encode(format!("anyone:{TOKEN}"));
        check(&rules(false), &format!("GET; host: [::1]; authorization: basic {basic}"), Ok(()));
        for header in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            check(&rules(true), &format!("GET; host: localhost; {header}: x"), Err(Refusal::Token));
        }
        let none = Rules { token: None, ..rules(false) };
        check(&none, "GET; host: localhost", Err(Refusal::NoToken));
        check(&none, "GET; host: localhost; authorization: Bearer ", Err(Refusal::NoToken));
    }

    #[test]
    fn a_change_takes_the_token_and_comes_from_our_own_page() {
        let bearer = format!("authorization: Bearer {TOKEN}");
        let rules = rules(true);
        check(&rules, "POST; host: localhost", Err(Refusal::Token));
        check(&rules, "POST; host: localhost; authorization: Bearer x", Err(Refusal::Token));
        check(&rules, &format!("POST; host: localhost:1; {bearer}"), Ok(()));
        check(&rules, &format!("DELETE; host: localhost:1; {bearer}"), Ok(()));
        let from = |rest: &str| format!("POST; host: localhost:1; {bearer}; {rest}");
        check(&rules, &from("origin: http://localhost:1"), Ok(()));
        check(&rules, &from("origin: https://localhost:1; sec-fetch-site: same-origin"), Ok(()));
        for foreign in [
            "origin: http://evil.example",
            "origin: http://localhost:2",
            "origin: null",
            "origin: http://localhost:1; sec-fetch-site: cross-site",
            "sec-fetch-site: same-site",
        ] {
            check(&rules, &from(foreign), Err(Refusal::Origin));
        }
    }

    #[test]
    fn a_page_behind_a_proxy_is_ours_by_the_name_that_the_proxy_was_asked_for() {
        let rules = rules(true);
        let bearer = format!("authorization: Bearer {TOKEN}");
        let from = |rest: &str| format!("POST; {bearer}; {rest}");
        let name = "watch.example.com";
        for ours in [
            &format!("host: {name}; origin: https://{name}") as &str,
            &format!("host: {name}:443; origin: https://{name}"),
            &format!("host: {name}; origin: https://WATCH.example.com:443"),
            &format!("host: {name}; x-forwarded-for: 192.0.2.1; origin: https://{name}:8443"),
            &format!("host: {name}:8443; origin: https://{name}:8443"),
            &format!("host: 127.0.0.1:1; x-forwarded-host: {name}; origin: http://{name}"),
            &format!(
                "host: 127.0.0.1:1; x-forwarded-host: a.example, {name}; origin: http://{name}"
            ),
            &format!(
                "host: [::1]:1; forwarded: for=x;host=\"{name}:81\"; origin: http://{name}:81"
            ),
            &format!("host: [::1]:1; forwarded: host={name}; origin: http://{name}"),
        ] {
            check(&rules, &from(ours), Ok(()));
        }
        for foreign in [
            &format!("host: {name}; origin: https://{name}:8443") as &str,
            &format!("host: {name}:8443; origin: https://{name}"),
            &format!("host: {name}:80; origin: https://{name}"),
            &format!("host: {name}; x-forwarded-for: x; origin: https://a.{name}:8443"),
            "host: 127.0.0.1:1; x-forwarded-host: evil.example; origin: http://evil.example",
            "host: 127.0.0.1:1; forwarded: host=evil.example; origin: http://evil.example",
            &format!("host: {name}; origin: ftp://{name}"),
            &format!("host: {name}; origin: https://{name}:x"),
        ] {
            check(&rules, &from(foreign), Err(Refusal::Origin));
        }
    }

    #[test]
    fn a_proxy_that_does_not_say_so_is_noticed() {
        let check = |version: Version, headers: &[(&str, &str)], expected: bool| {
            let mut request = Request::builder().version(version).uri("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(rules(true).is_passed_on_unsaid(&request), expected, "{headers:?}");
            assert!(!rules(false).is_passed_on_unsaid(&request), "it is for anybody to ask");
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        let browser = ("user-agent", "Mozilla/5.0 (X11)");
        check(new, &[("host", "watch.example.com"), browser], true);
        check(new, &[("host", "Watch.example.com.:443")], true);
        check(old, &[("host", "127.0.0.1:8787"), browser], true);
        check(old, &[("host", "127.0.0.1:8787"), ("user-agent", "curl/8")], false);
        check(new, &[("host", "localhost:8787"), browser], false);
        check(old, &[("host", "watch.example.com"), browser, ("x-real-ip", "192.0.2.1")], false);
        check(old, &[("host", "watch.example.com"), ("X-Forwarded-Proto", "https")], false);
        check(old, &[], false);
    }

    #[test]
    fn only_the_whole_token_is_the_same() {
        assert!(same("0123456789abcdef", "0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!same(other, "0123456789abcdef"), "`{other}`");
        }
    }
}
