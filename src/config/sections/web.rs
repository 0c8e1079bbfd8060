//! `[web]`: the HTTP server of the page, the API and the metrics.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Host;

use crate::config::parse::field::{Field, Table, shown};
use crate::config::parse::web_address;
use crate::config::schema::keys::{WEB, nearest};
use crate::config::secret_source::{self, Plain};
use crate::config::settings::WebSettings;
use crate::domain::public_url::PublicUrl;
use crate::domain::read_access::ReadAccess;
use crate::secret::Secret;
use crate::text::secret_input::SecretKind;

/// Reads the listen address; `None` if it is off or the system chooses the port.
pub(in crate::config) fn listen_address(root: &Table<'_>) -> Option<SocketAddr> {
    let web = root.section(WEB.path, &WEB)?;
    web.or("listen", Some(LISTEN), listen).flatten().filter(|address| address.port() != 0)
}

pub(in crate::config) fn read(root: &Table<'_>) -> Option<WebSettings> {
    let web = root.section(WEB.path, &WEB)?;
    let listen = web.or("listen", Some(LISTEN), listen);
    let public_url = web.optional("public_url", public_url);
    let hint_token = web.optional("hint_token", token);
    let page_token = web.optional("token", token);
    let read = web.optional("read", |field| field.one_of(&READ));
    let hosts = web.or("hosts", Vec::new(), |field| field.list(host));
    let thumbnails = web.or("thumbnails", false, Field::flag);
    let (listen, public_url) = (listen?, public_url?);
    let (hint_token, token) = (hint_token?, page_token?);
    if let (Some(field), None) = (web.field("public_url").filter(|_| public_url.is_some()), listen)
    {
        let message = "is set, but `listen` is `off`: the links in messages lead nowhere";
        field.warning(message, "remove one of the two");
    }
    if let (Some(field), true) = (web.field("token"), token.is_some() && token == hint_token) {
        let help =
            "use another token: otherwise every sender of hints is authorized for everything";
        return field.invalid("is the `hint_token` too", help.to_owned());
    }
    let hosts = hosts?;
    let is_remote = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    let is_open = listen.is_some_and(is_remote);
    let (has_hosts, takes_hints) = (!hosts.is_empty(), hint_token.is_some());
    let usual = ReadAccess::unless_configured(!is_open, has_hosts, takes_hints);
    let is_read_configured = web.field("read").is_some();
    let read = read?.unwrap_or(usual);
    // A server for hints alone needs no `token`.
    if token.is_none() && listen.is_some() && (is_read_configured || !takes_hints) {
        warn_of_no_token(&web, read, is_open);
    }
    if let (Some(field), true) = (web.field("hint_token"), hint_token.is_some()) {
        let warning = match listen {
            None => Some((
                "is set, but `listen` is `off`: no hints can be received",
                "remove one of the two",
            )),
            Some(_) if is_open => Some((
                "would be sent unencrypted, since `listen` is not loopback",
                "put a proxy with TLS in front, and listen on `127.0.0.1` behind it",
            )),
            Some(_) if !has_hosts => Some((
                "takes no hint from a proxy that passes on the name it was asked for, since there \
                 are no `hosts`",
                "add the name that Argil calls, like `hosts = [\"watch.example.com\"]`",
            )),
            Some(_) => None,
        };
        if let Some((message, help)) = warning {
            field.warning(message, help);
        }
    }
    let is_listen_configured = web.field("listen").is_some();
    Some(WebSettings {
        listen,
        is_listen_configured,
        hint_token,
        token,
        read,
        hosts,
        public_url,
        thumbnails: thumbnails?,
    })
}

/// Warns, at the key that causes it, when reading requires a token and there is none.
fn warn_of_no_token(web: &Table<'_>, read: ReadAccess, is_open: bool) {
    if read != ReadAccess::Token {
        return;
    }
    let public =
        "add `token = { file = \"…\" }`, or allow reading without a token with `read = \"public\"`";
    let (key, message, help) = if web.field("read").is_some() {
        ("read", "requires a `token`, but none is set, so the page cannot be read", public)
    } else if is_open {
        (
            "listen",
            "is open to the network without a `token`, so the page shows nothing there",
            "add `token = { file = \"…\" }`, or listen on `127.0.0.1`",
        )
    } else {
        (
            "hosts",
            "makes reading require a `token`, but none is set, so the page cannot be read",
            public,
        )
    };
    if let Some(field) = web.field(key) {
        field.warning(message, help);
    }
}

/// `Some(None)` is off.
fn listen(field: &Field<'_>) -> Option<Option<SocketAddr>> {
    let text = field.text()?;
    if text == OFF {
        return Some(None);
    }
    if let Ok(address) = text.parse() {
        return Some(Some(address));
    }
    let help = if let Ok(address) = text.parse::<IpAddr>() {
        format!("add the port: `{}`", SocketAddr::new(address, LISTEN.port()))
    } else if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        format!("add the address: `{}`", SocketAddr::new(LISTEN.ip(), port))
    } else if nearest(text, &[OFF]).is_some() {
        format!("did you mean `{OFF}`?")
    } else {
        format!("write an IP address such as `{LISTEN}`, or `{OFF}`; host names are not accepted")
    };
    field.invalid(format!("is `{}`, which is not an IP address with a port", shown(text)), help)
}

/// Scheme, host, port and path: nothing secret, since it is in every message.
fn public_url(field: &Field<'_>) -> Option<PublicUrl> {
    let text = field.text()?;
    let url = web_address::parse(field, text, PUBLIC_URL)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return field.invalid("is neither an `https` nor an `http` URL", PUBLIC_URL);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return field.invalid("contains a login, which every message would show", PUBLIC_URL);
    }
    if url.query().is_some() {
        return field.invalid("has a query", PUBLIC_URL);
    }
    let origin = url.origin().ascii_serialization();
    PublicUrl::new(&origin, url.path()).or_else(|| {
        let help = "use letters, digits, `-`, `_`, `.` and `~` in the path";
        field.invalid("has a path with other characters or an empty part", help)
    })
}

fn token(field: &Field<'_>) -> Option<Secret> {
    let token = secret_source::read(field, Plain::Guarded, SecretKind::Key)?;
    let text = token.expose();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain && (TOKEN_LENGTH_MIN..=TOKEN_LENGTH_MAX).contains(&text.len()) {
        return Some(token);
    }
    field.invalid(
        "is not a valid token",
        format!(
            "a token is {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} letters, digits, `-` or `_`, like \
             the output of `openssl rand -hex 16`"
        ),
    )
}

/// A host name; addresses are always accepted.
fn host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match crate::config::parse::host::parse(text) {
        Some(Host::Domain(name)) => Some(name),
        Some(_) | None => field.invalid(
            format!("is `{}`, which is no name", shown(text)),
            "write a name without scheme and port, like `watch.example.com`; addresses and \
             `localhost` are known"
                .to_owned(),
        ),
    }
}

pub(in crate::config) const READ: [(&str, ReadAccess); 2] =
    [("token", ReadAccess::Token), ("public", ReadAccess::Public)];
const OFF: &str = "off";
const PUBLIC_URL: &str = "write scheme, host and path of the page, like \
    `https://watch.example.com/argil`";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
const TOKEN_LENGTH_MIN: usize = 16;
const TOKEN_LENGTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, settings};

    const TOKEN: &str = "CANARY-of-16_abc";

    fn web(text: &str) -> WebSettings {
        settings(text).web
    }

    #[test]
    fn the_page_is_on_this_machine_alone_unless_it_is_said() {
        assert_eq!(web("").listen, Some(LISTEN));
        assert_eq!(web("web.listen = 'off'").listen, None);
        for address in ["[::1]:0", "0.0.0.0:80"] {
            let listen = web(&format!("web.listen = '{address}'")).listen;
            assert_eq!(listen, Some(address.parse().unwrap()));
        }
    }

    #[test]
    fn an_invalid_address_gets_a_help() {
        let check = |listen: &str, help: &str| {
            let message = format!("is `{listen}`, which is not an IP address with a port");
            check_added(
                &format!("web.listen = '{listen}'"),
                &format!("config.toml:2: `web.listen` {message}\n  help: {help}"),
            );
        };
        let name =
            "write an IP address such as `127.0.0.1:8787`, or `off`; host names are not accepted";
        check("localhost:8787", name);
        check("https://example.com/", name);
        check("127.0.0.1:99999", name);
        check("10.0.0.1", "add the port: `10.0.0.1:8787`");
        check("::1", "add the port: `[::1]:8787`");
        check(":9000", "add the address: `127.0.0.1:9000`");
        check("9000", "add the address: `127.0.0.1:9000`");
        check("of", "did you mean `off`?");
    }

    #[test]
    fn a_hint_token_is_long_and_plain_and_is_not_repeated() {
        let named = "web.hosts = ['watch']\nweb.read = 'public'";
        let token = |token: &str| check_added(&format!("web.hint_token = '{token}'\n{named}"), "");
        token(TOKEN);
        token(&"x".repeat(128));
        for bad in ["CANARY-of-15-ab", "CANARY.of.16.abcd", "CANARY/of/16/abcd"] {
            check_added(
                &format!("web.hint_token = '{bad}'"),
                "config.toml:2: `web.hint_token` is not a valid token\n  \
                 help: a token is 16 to 128 letters, digits, `-` or `_`, like the output of \
                 `openssl rand -hex 16`",
            );
        }
    }

    #[test]
    fn the_token_of_the_page_is_not_that_of_hints() {
        let both = format!("web.token = '{TOKEN}'\nweb.hint_token = '{TOKEN}'");
        check_added(
            &both,
            "config.toml:2: `web.token` is the `hint_token` too\n  \
             help: use another token: otherwise every sender of hints is authorized for everything",
        );
        let other =
            format!("web.token = '{TOKEN}'\nweb.hint_token = '{TOKEN}-'\nweb.hosts = ['watch']");
        check_added(&other, "");
    }

    #[test]
    fn a_page_for_the_network_wants_a_token() {
        check_added("web.listen = '0.0.0.0:80'\nweb.token = 'CANARY-of-16_abc'", "");
        check_added(
            "web.listen = '0.0.0.0:80'",
            "config.toml:2: `web.listen` is open to the network without a `token`, so the page \
             shows nothing there\n  \
             help: add `token = { file = \"…\" }`, or listen on `127.0.0.1`",
        );
    }

    #[test]
    fn reading_takes_the_token_unless_it_is_local_or_public() {
        for (text, expected) in [
            ("", ReadAccess::Local),
            ("web.listen = '[::1]:80'", ReadAccess::Local),
            ("web.hosts = ['watch']", ReadAccess::Token),
            ("web.hint_token = 'CANARY-of-16_abc'", ReadAccess::Token),
            ("web.listen = '0.0.0.0:80'", ReadAccess::Token),
            ("web.listen = '[::ffff:10.1.2.3]:80'", ReadAccess::Token),
            ("web.read = 'token'", ReadAccess::Token),
            ("web.read = 'public'", ReadAccess::Public),
            ("web.read = 'public'\nweb.hosts = ['watch']", ReadAccess::Public),
            ("web.read = 'public'\nweb.listen = '0.0.0.0:80'", ReadAccess::Public),
        ] {
            assert_eq!(web(text).read, expected, "{text}");
        }
        check_added(
            "web.read = 'local'",
            "config.toml:2: `web.read` has the unknown value `local`\n  \
             help: it can be `token` or `public`",
        );
    }

    #[test]
    fn a_page_that_requires_a_missing_token_is_a_warning() {
        let check = |text: &str, key: &str, message: &str| {
            let help = "add `token = { file = \"…\" }`, or allow reading without a token with \
                        `read = \"public\"`";
            let warning = format!("config.toml:2: `web.{key}` {message}\n  help: {help}");
            check_added(text, &warning);
            check_added(&format!("{text}\nweb.token = '{TOKEN}'"), "");
            if key != "read" {
                check_added(&format!("{text}\nweb.read = 'public'"), "");
            }
        };
        let names = "makes reading require a `token`, but none is set, so the page cannot be read";
        check("web.hosts = ['watch']", "hosts", names);
        let says = "requires a `token`, but none is set, so the page cannot be read";
        check("web.read = 'token'", "read", says);
        check_added("web.listen = 'off'\nweb.read = 'token'", "");
    }

    #[test]
    fn hosts_are_names() {
        let web = web("web.hosts = ['Watch.Example.com', 'watch']");
        assert_eq!(web.hosts, ["watch.example.com", "watch"]);
        for bad in ["https://a.example", "a.example:80", "10.0.0.1", "*", "a b", "[::1]"] {
            check_added(
                &format!("web.hosts = ['{bad}']"),
                &format!(
                    "config.toml:2: `web.hosts[0]` is `{bad}`, which is no name\n  \
                     help: write a name without scheme and port, like `watch.example.com`; \
                     addresses and `localhost` are known"
                ),
            );
        }
    }

    #[test]
    fn a_hint_token_that_no_hint_reaches_or_that_all_can_read_is_a_warning() {
        let check = |keys: &str, said: &str| {
            let expected = match said {
                "" => String::new(),
                said => format!("config.toml:2: `web.hint_token` {said}"),
            };
            let text = format!("web.hint_token = '{TOKEN}'\nweb.read = 'public'\n{keys}");
            check_added(&text, &expected);
        };
        check("web.hosts = ['watch']\nweb.listen = '127.0.0.1:0'", "");
        check("web.hosts = ['watch']\nweb.listen = '[::1]:80'", "");
        check(
            "web.listen = 'off'",
            "is set, but `listen` is `off`: no hints can be received\n  \
             help: remove one of the two",
        );
        check(
            "web.hosts = ['watch']\nweb.listen = '0.0.0.0:80'",
            "would be sent unencrypted, since `listen` is not loopback\n  \
             help: put a proxy with TLS in front, and listen on `127.0.0.1` behind it",
        );
        check(
            "",
            "takes no hint from a proxy that passes on the name it was asked for, since there are \
             no `hosts`\n  \
             help: add the name that Argil calls, like `hosts = [\"watch.example.com\"]`",
        );
    }
    #[test]
    fn a_public_url_is_the_place_of_the_page_and_nothing_else() {
        let read = |url: &str| web(&format!("web.public_url = '{url}'")).public_url.unwrap();
        for (url, expected) in [
            ("https://Watch.example.com", "https://watch.example.com"),
            ("https://watch.example.com:8443/argil/", "https://watch.example.com:8443/argil"),
            ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
        ] {
            assert_eq!(read(url).to_string(), expected);
        }
        let check = |url: &str, message: &str, help: &str| {
            check_added(
                &format!("web.public_url = '{url}'"),
                &format!("config.toml:2: `web.public_url` {message}\n  help: {help}"),
            );
        };
        let scheme = "is neither an `https` nor an `http` URL";
        check("ftp://watch.example.com", scheme, PUBLIC_URL);
        let relative = "is no URL: relative URL without a base";
        check("watch.example.com", relative, PUBLIC_URL);
        let query = "has a query";
        check("https://watch.example.com/?a=b", query, PUBLIC_URL);
        let login = "contains a login, which every message would show";
        check("https://CANARY@watch.example.com", login, PUBLIC_URL);
        check(
            "https://watch.example.com/a%20b",
            "has a path with other characters or an empty part",
            "use letters, digits, `-`, `_`, `.` and `~` in the path",
        );
        check_added(
            "web.listen = 'off'\nweb.public_url = 'https://watch.example.com'",
            "config.toml:3: `web.public_url` is set, but `listen` is `off`: the links in messages \
             lead nowhere\n  help: remove one of the two",
        );
    }
}
