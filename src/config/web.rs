//! `[web]`: where the page, the API and the metrics are shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Host;

use crate::config::field::{Field, shown};
use crate::config::reader::Table;
use crate::config::schema::{WEB, nearest};
use crate::config::secret_source::{self, Plain};
use crate::config::settings::WebSettings;
use crate::domain::secret_text::SecretKind;
use crate::secret::Secret;

/// Reads where the page is, if it is at a place that can be known.
pub(super) fn page(root: &Table<'_>) -> Option<SocketAddr> {
    let web = root.section(WEB.path, &WEB)?;
    web.or("listen", Some(LISTEN), listen).flatten().filter(|place| place.port() != 0)
}

/// Reads what is shown over HTTP.
pub(super) fn read(root: &Table<'_>) -> Option<WebSettings> {
    let web = root.section(WEB.path, &WEB)?;
    let listen = web.or("listen", Some(LISTEN), listen);
    let hint_token = web.optional("hint_token", token);
    let page_token = web.optional("token", token);
    let hosts = web.or("hosts", Vec::new(), |field| field.list(host));
    let thumbnails = web.or("thumbnails", false, Field::flag);
    let (listen, hint_token, token) = (listen?, hint_token?, page_token?);
    if let (Some(field), true) = (web.field("token"), token.is_some() && token == hint_token) {
        let help = "take another one: whoever sends hints would be allowed everything";
        return field.wrong("is the `hint_token` too", help.to_owned());
    }
    let open = listen.is_some_and(|address| !address.ip().to_canonical().is_loopback());
    let any_token = token.as_ref().or(hint_token.as_ref());
    if let (Some(field), true, None) = (web.field("listen"), open, any_token) {
        let message = "is open to the network without a `token`, so the page shows nothing there";
        let help = "add `token = { file = \"…\" }`, or listen on `127.0.0.1`";
        field.reader.warning(&field.place, message, help);
    }
    if let (Some(field), true) = (web.field("hint_token"), hint_token.is_some()) {
        match listen {
            None => {
                let message = "stands there, and `listen` is `off`: no hint can come in";
                field.reader.warning(&field.place, message, "take one of the two out");
            }
            Some(address) if !address.ip().to_canonical().is_loopback() => {
                let message =
                    "would cross the network in the clear, since `listen` is not loopback";
                let help = "put a proxy with TLS in front, and listen on `127.0.0.1` behind it";
                field.reader.warning(&field.place, message, help);
            }
            Some(_) => (),
        }
    }
    let is_chosen = web.field("listen").is_some();
    Some(WebSettings {
        listen,
        is_chosen,
        hint_token,
        token,
        hosts: hosts?,
        thumbnails: thumbnails?,
    })
}

/// Gives `Some(None)` for off.
fn listen(field: &Field<'_>) -> Option<Option<SocketAddr>> {
    let text = field.text()?;
    if text == OFF {
        return Some(None);
    }
    if let Ok(address) = text.parse() {
        return Some(Some(address));
    }
    let help = if let Ok(address) = text.parse::<IpAddr>() {
        format!("write the port too: `{}`", SocketAddr::new(address, LISTEN.port()))
    } else if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        format!("write the address too: `{}`", SocketAddr::new(LISTEN.ip(), port))
    } else if nearest(text, &[OFF]).is_some() {
        format!("did you mean `{OFF}`?")
    } else {
        format!("write an address, since a name can lead anywhere: `{LISTEN}`, or `{OFF}`")
    };
    field.wrong(format!("is `{}`, which is no IP address with a port", shown(text)), help)
}

fn token(field: &Field<'_>) -> Option<Secret> {
    let token = secret_source::read(field, Plain::Guarded, SecretKind::Key)?;
    let text = token.expose();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain && (TOKEN_LENGTH_MIN..=TOKEN_LENGTH_MAX).contains(&text.len()) {
        return Some(token);
    }
    field.wrong(
        "is no good token",
        format!(
            "a token is {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} letters, digits, `-` or `_`, like \
             the output of `openssl rand -hex 16`"
        ),
    )
}

/// A name, since addresses are known without being listed.
fn host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match crate::config::host::parse(text) {
        Some(Host::Domain(name)) => Some(name),
        Some(_) | None => field.wrong(
            format!("is `{}`, which is no name", shown(text)),
            "write a name without scheme and port, like `watch.example.com`; addresses and \
             `localhost` are known"
                .to_owned(),
        ),
    }
}

const OFF: &str = "off";
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
const TOKEN_LENGTH_MIN: usize = 16;
const TOKEN_LENGTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, read_with};

    const TOKEN: &str = "CANARY-of-16_abc";

    fn web(text: &str) -> WebSettings {
        read_with(&format!("argil.api_key = 'key'\n{text}"), &[]).unwrap().web
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
    fn an_address_that_is_none_is_told_how_to_be_written() {
        let check = |listen: &str, help: &str| {
            let message = format!("is `{listen}`, which is no IP address with a port");
            check_added(
                &format!("web.listen = '{listen}'"),
                &format!("config.toml:2: `web.listen` {message}\n  help: {help}"),
            );
        };
        let name = "write an address, since a name can lead anywhere: `127.0.0.1:8787`, or `off`";
        check("localhost:8787", name);
        check("https://example.com/", name);
        check("127.0.0.1:99999", name);
        check("10.0.0.1", "write the port too: `10.0.0.1:8787`");
        check("::1", "write the port too: `[::1]:8787`");
        check(":9000", "write the address too: `127.0.0.1:9000`");
        check("9000", "write the address too: `127.0.0.1:9000`");
        check("of", "did you mean `off`?");
    }

    #[test]
    fn a_hint_token_is_long_and_plain_and_is_not_repeated() {
        let token = |token: &str| check_added(&format!("web.hint_token = '{token}'"), "");
        token(TOKEN);
        token(&"x".repeat(128));
        for bad in ["CANARY-of-15-ab", "CANARY.of.16.abcd", "CANARY/of/16/abcd"] {
            check_added(
                &format!("web.hint_token = '{bad}'"),
                "config.toml:2: `web.hint_token` is no good token\n  \
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
             help: take another one: whoever sends hints would be allowed everything",
        );
        let other = format!("web.token = '{TOKEN}'\nweb.hint_token = '{TOKEN}-'");
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
        let check = |listen: &str, expected: &str| {
            check_added(
                &format!("web.hint_token = '{TOKEN}'\nweb.listen = '{listen}'"),
                &expected.replace("TOKEN", "config.toml:2: `web.hint_token`"),
            );
        };
        check("127.0.0.1:0", "");
        check("[::1]:80", "");
        check(
            "off",
            "TOKEN stands there, and `listen` is `off`: no hint can come in\n  \
             help: take one of the two out",
        );
        check(
            "0.0.0.0:80",
            "TOKEN would cross the network in the clear, since `listen` is not loopback\n  \
             help: put a proxy with TLS in front, and listen on `127.0.0.1` behind it",
        );
    }
}
