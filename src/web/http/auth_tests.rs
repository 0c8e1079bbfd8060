use super::*;

const TOKEN: &str = "CANARY-of-16_abc";

fn rules(read: ReadAccess) -> AccessPolicy {
    let hosts = vec!["watch.example.com".to_owned()];
    AccessPolicy { token: Some(Secret::new(TOKEN)), hosts, read }
}

/// A request from a text: the method, optionally `HTTP/1.0`, then headers.
fn request(text: &str) -> Request<()> {
    let mut words = text.split_terminator("; ");
    let mut request = Request::builder().method(words.next().unwrap());
    for word in words {
        request = match word.split_once(": ") {
            Some((name, value)) => request.header(name, value),
            None => request.version(Version::HTTP_10),
        };
    }
    request.body(()).unwrap()
}

#[track_caller]
fn check(rules: &AccessPolicy, text: &str, expected: Result<(), Denied>) {
    assert_eq!(rules.authorize(&request(text)), expected, "{text}");
}

#[test]
fn only_known_host_names_are_accepted() {
    let rules = rules(ReadAccess::Local);
    for host in ["127.0.0.1:8787", "[::1]:8787", "10.1.2.3", "localhost", "LocalHost.:80"] {
        check(&rules, &format!("GET; host: {host}"), Ok(()));
    }
    check(&rules, "GET; host: watch.example.com:443", Ok(()));
    check(&rules, "GET; host: WATCH.example.com", Ok(()));
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "watch.example.com.evil.example",
        "xwatch.example.com",
        "localhost:80@evil.example",
        "user@localhost",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "localhost:x",
        "127.0.0.1:80:80",
        "x:y:z",
        "localhost..",
        ".localhost",
        ".",
        ":80",
        "",
        "local\thost",
        "localhost/",
        "localhost#",
        "localhost, evil.example",
        "[::1",
        "::1",
    ] {
        check(&rules, &format!("GET; host: {host}"), Err(Denied::Host));
    }
    check(&rules, "GET", Err(Denied::NoHost));
    check(&rules, "GET; HTTP/1.0", Err(Denied::NoHost));
    let mut absolute = request("GET; host: localhost");
    *absolute.uri_mut() = Uri::from_static("http://evil.example/");
    assert_eq!(rules.authorize(&absolute), Err(Denied::Host));
}

#[test]
fn health_checks_in_http_1_0_need_no_host() {
    let screen = |text: &str| rules(ReadAccess::Local).check_request(&request(text), true);
    assert_eq!(screen("GET; HTTP/1.0"), Ok(()));
    assert_eq!(screen("GET"), Err(Denied::NoHost));
    assert_eq!(screen("GET; HTTP/1.0; host: evil.example"), Err(Denied::Host));
    assert_eq!(screen("GET; host: 10.1.2.3:8787"), Ok(()));
}

#[test]
fn repeated_access_headers_are_rejected() {
    let ours = format!("host: localhost; origin: http://localhost; authorization: Bearer {TOKEN}");
    let all = format!("POST; {ours}; sec-fetch-site: same-origin");
    check(&rules(ReadAccess::Public), &all, Ok(()));
    for name in ["host", "origin", "sec-fetch-site", "authorization"] {
        let header = all.split("; ").find(|it| it.starts_with(name)).unwrap();
        for again in [header, &format!("{name}: x"), &format!("{name}: ")] {
            for twice in [format!("{all}; {again}"), format!("GET; {again}; {again}")] {
                let refused = Err(Denied::Repeated(name));
                check(&rules(ReadAccess::Public), &twice, refused);
            }
        }
    }
}

#[test]
fn reading_obeys_the_config() {
    use ReadAccess::{Local, Public, Token};
    let basic = STANDARD.encode(format!("anyone:{TOKEN}"));
    let shown = [format!("authorization: Bearer {TOKEN}"), format!("authorization: basic {basic}")];
    let plain = "host: localhost".to_owned();
    let passed_on = "host: localhost; x-forwarded-for: 192.0.2.1".to_owned();
    for (read, request, is_open) in [
        (Local, &plain, true),
        (Local, &passed_on, false),
        (Token, &plain, false),
        (Token, &passed_on, false),
        (Public, &plain, true),
        (Public, &passed_on, true),
    ] {
        let rules = rules(read);
        let expected = |refusal| if is_open { Ok(()) } else { Err(refusal) };
        for method in ["GET", "HEAD", "OPTIONS"] {
            check(&rules, &format!("{method}; {request}"), expected(Denied::Token));
            for shown in &shown {
                check(&rules, &format!("{method}; {request}; {shown}"), Ok(()));
            }
        }
        let none = AccessPolicy { token: None, ..rules.clone() };
        for shown in ["", "; authorization: Bearer ", "; authorization: Basic Og=="] {
            let expected = expected(Denied::NoToken);
            check(&none, &format!("GET; {request}{shown}"), expected);
        }
        check(&rules, &format!("POST; {request}"), Err(Denied::Token));
    }
}

#[test]
fn headers_of_proxies_mark_a_request_as_forwarded() {
    let rules = rules(ReadAccess::Local);
    for name in OF_PROXIES {
        check(&rules, &format!("GET; host: localhost; {name}: "), Err(Denied::Token));
    }
    check(&rules, "GET; HTTP/1.0; host: localhost", Err(Denied::Token));
    for name in OF_CLIENTS {
        check(&rules, &format!("GET; host: localhost; {name}: x"), Ok(()));
    }
}

/// Headers that proxies add.
const OF_PROXIES: [&str; 42] = [
    "forwarded",
    "via",
    "x-forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-of-tomorrow",
    "X_Forwarded_For",
    "forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-original-forwarded-for",
    "x-rewrite-url",
    "x-envoy-external-address",
    "x-amzn-trace-id",
    "x-azure-clientip",
    "x-appengine-user-ip",
    "x-varnish",
    "x-scheme",
    "x-proxyuser-ip",
    "x-request-id",
    "true-client-ip",
    "client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cdn-loop",
    "fastly-client-ip",
    "fastly-ff",
    "fly-client-ip",
    "cloudfront-viewer-address",
    "akamai-origin-hop",
    "wl-proxy-client-ip",
    "proxy-connection",
    "max-forwards",
    "remote-user",
    "front-end-https",
    "surrogate-capability",
    "tailscale-user-login",
];

/// Headers of browsers, curl and Prometheus.
const OF_CLIENTS: [&str; 26] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "cookie",
    "dnt",
    "if-modified-since",
    "if-none-match",
    "last-event-id",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-site",
    "sec-gpc",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
    "x-prometheus-scrape-timeout-seconds",
    "x-requested-with",
];

#[test]
fn only_the_right_token_authorizes() {
    let rules = rules(ReadAccess::Token);
    let check = |header: &str, opens: bool| {
        let expected = if opens { Ok(()) } else { Err(Denied::Token) };
        check(&rules, &format!("GET; host: localhost; {header}"), expected);
    };
    let login = |pair: &str| format!("authorization: Basic {}", STANDARD.encode(pair));
    for good in [
        format!("authorization: Bearer {TOKEN}"),
        format!("authorization: bEARER   {TOKEN} "),
        login(&format!("anyone:{TOKEN}")),
        login(&format!(":{TOKEN}")),
    ] {
        check(&good, true);
    }
    for bad in [
        "authorization: ".to_owned(),
        "authorization: Bearer".to_owned(),
        "authorization: Bearer ".to_owned(),
        format!("authorization: {TOKEN}"),
        format!("authorization: Bearer{TOKEN}"),
        format!("authorization: Bearer\t{TOKEN}"),
        format!("authorization: Token {TOKEN}"),
        format!("authorization: Bearer {}", &TOKEN[1..]),
        format!("authorization: Bearer {TOKEN}x"),
        format!("authorization: Bearer {TOKEN}, Bearer {TOKEN}"),
        format!("authorization: Bearer \"{TOKEN}\""),
        format!("authorization: Bearer {}", TOKEN.to_lowercase()),
        format!("authorization: Bearer {}", "x".repeat(50_000)),
        format!("authorization: Bearer {}", STANDARD.encode(format!("anyone:{TOKEN}"))),
        format!("authorization: Basic {TOKEN}"),
        login(TOKEN),
        login(&format!("{TOKEN}:")),
        login(&format!("{TOKEN}:anyone")),
        login(&format!("anyone:{TOKEN}\0")),
        login(&format!("anyone:x:{TOKEN}")),
        format!("cookie: token={TOKEN}"),
        format!("token: {TOKEN}"),
    ] {
        check(&bad, false);
    }
    let mut query = request("GET; host: localhost");
    *query.uri_mut() = format!("/?token={TOKEN}").parse().unwrap();
    assert_eq!(rules.authorize(&query), Err(Denied::Token));
}

#[test]
fn a_change_requires_the_token_and_our_own_origin() {
    let bearer = format!("authorization: Bearer {TOKEN}");
    let rules = rules(ReadAccess::Local);
    check(&rules, "POST; host: localhost", Err(Denied::Token));
    check(&rules, "POST; host: localhost; authorization: Bearer x", Err(Denied::Token));
    check(&rules, &format!("POST; host: localhost:1; {bearer}"), Ok(()));
    check(&rules, &format!("DELETE; host: localhost:1; {bearer}"), Ok(()));
    let from = |rest: &str| format!("POST; host: localhost:1; {bearer}; {rest}");
    check(&rules, &from("origin: http://localhost:1"), Ok(()));
    check(&rules, &from("origin: https://localhost:1; sec-fetch-site: same-origin"), Ok(()));
    for foreign in [
        "origin: http://evil.example",
        "origin: http://localhost:2",
        "origin: http://localhost",
        "origin: http://localhost:1.evil.example",
        "origin: http://evil.localhost:1@localhost:1",
        "origin: http://localhost:1/",
        "origin: http://localhost:1, http://evil.example",
        "origin: moz-extension://localhost:1",
        "origin: null",
        "origin: ",
        "origin: http://localhost:1; sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: ",
    ] {
        check(&rules, &from(foreign), Err(Denied::Origin));
    }
}

#[test]
fn behind_a_proxy_the_origin_is_compared_with_the_forwarded_host() {
    let rules = rules(ReadAccess::Token);
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
        &format!("host: 127.0.0.1:1; x-forwarded-host: a.example, {name}; origin: http://{name}"),
        &format!("host: [::1]:1; forwarded: for=x;host=\"{name}:81\"; origin: http://{name}:81"),
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
        check(&rules, &from(foreign), Err(Denied::Origin));
    }
}

#[test]
fn only_equal_texts_compare_equal() {
    assert!(constant_time_eq("0123456789abcdef", "0123456789abcdef"));
    for other in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
        assert!(!constant_time_eq(other, "0123456789abcdef"), "`{other}`");
    }
}
