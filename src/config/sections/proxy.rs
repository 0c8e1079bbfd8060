//! `proxy` of a webhook.

use crate::config::parse::field::Field;
use crate::config::parse::web_address;
use crate::config::secret_source::{self, Plain};
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::secret::Secret;
use crate::text::secret_input::SecretKind;

/// Reads the URL of a proxy: a secret, since it may contain a login.
pub(in crate::config) fn read(field: &Field<'_>) -> Option<Secret> {
    let secret = secret_source::read(field, Plain::Guarded, SecretKind::Url)?;
    let url = web_address::parse(field, secret.expose(), WHOLE_URL)?;
    let Some(host) = url.host().filter(|_| url.scheme() == "http") else {
        let message = "is no `http` URL with a host; other proxies are not supported";
        return field.invalid(message, WHOLE_URL);
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return field.invalid("has a path, a query or a fragment", WHOLE_URL);
    }
    web_address::permitted(field, &host, "proxy", EgressPolicy::AllowPrivate)?;
    Some(secret)
}

const WHOLE_URL: &str = "write it like `http://proxy.example.com:3128`, with the login before an \
                         `@` if it requires one";

#[cfg(test)]
mod tests {
    use crate::config::file::tests::check_hook;

    #[test]
    fn a_proxy_is_an_http_url_and_is_not_repeated() {
        let check = |proxy: &str, said: &str| {
            check_hook(&format!("proxy = '{proxy}'"), "proxy", said);
        };
        let help = "help: write it like `http://proxy.example.com:3128`, with the login before an \
                    `@` if it requires one";
        check("http://proxy.lan:3128", "");
        check("http://user:pass@127.0.0.1:3128/", "");
        check("CANARY", &format!("is no URL: relative URL without a base\n  {help}"));
        for proxy in ["https://CANARY.lan", "socks5://CANARY.lan", "CANARY.lan:3128"] {
            let text = "is no `http` URL with a host; other proxies are not supported";
            check(proxy, &format!("{text}\n  {help}"));
        }
        for proxy in ["http://CANARY:12#5@proxy.lan:1", "http://CANARY:12/5@proxy.lan:1"] {
            check(
                proxy,
                "has an `@` after its host, so a login may be cut off\n  help: in a login, \
                 `/` is written `%2F`, `?` `%3F`, `#` `%23`, `@` `%40` and `\\` `%5C`; in a path, \
                 an `@` is written `%40`",
            );
        }
        for proxy in ["http://proxy.lan/CANARY", "http://proxy.lan?CANARY"] {
            check(proxy, &format!("has a path, a query or a fragment\n  {help}"));
        }
        check(
            "http://CANARY@169.254.169.254:80",
            "leads to `169.254.169.254`, which is link-local, as the metadata services of clouds \
             are\n  help: this address is always blocked; use the address of the proxy",
        );
    }
}
