//! `[argil]` and `[accounts.NAME]`: the accounts and their request limits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use crate::config::parse::duration::{self, LONGEST};
use crate::config::parse::field::{Field, Table};
use crate::config::parse::host;
use crate::config::parse::tags;
use crate::config::parse::web_address;
use crate::config::schema::keys::{ACCOUNT, ARGIL};
use crate::config::secret_source::{self, Plain};
use crate::config::settings::AccountSettings;
use crate::domain::account::AccountName;
use crate::domain::routing::tag::Tag;
use crate::text::secret_input::{SecretKind, clean};

pub(in crate::config) fn written_base_url(root: &Table<'_>) -> Option<String> {
    let account = root.field(AccountName::DEFAULT)?.table()?;
    Some(account.field("base_url")?.text()?.to_owned())
}

/// The names in the file, valid or not, including the default account if it has a table; `None`
/// when they cannot be read.
pub(in crate::config) fn names<'r>(root: &Table<'r>) -> Option<Vec<&'r str>> {
    let default = has_default(root).then_some(AccountName::DEFAULT);
    let named = root.names("accounts")?.into_iter().filter(|name| *name != AccountName::DEFAULT);
    Some(default.into_iter().chain(named).collect())
}

pub(in crate::config) fn read(root: &Table<'_>) -> Option<BTreeMap<AccountName, AccountSettings>> {
    let mut accounts = Vec::new();
    if has_default(root) {
        let argil = root.section(ARGIL.path, &ARGIL).and_then(|table| read_one(&table));
        accounts.push(argil.map(|argil| (AccountName::default(), argil)));
    }
    if let Some(field) = root.field("accounts") {
        if matches!(field.value, DeValue::Array(_)) {
            let help = "write `[accounts.NAME]`, with one bracket and a name";
            return field.invalid("is a list", help);
        }
        let named = field.table()?.fields();
        accounts.extend(named.iter().map(|(name, field)| read_named(name, field)));
    }
    let accounts = accounts.into_iter().collect::<Option<BTreeMap<_, _>>>()?;
    warn_of_twins(root, &accounts);
    Some(accounts)
}

/// The tags of each account, as far as they can be read.
pub(in crate::config) fn tags(root: &Table<'_>) -> BTreeMap<AccountName, BTreeSet<Tag>> {
    let read = |name: &str, field: Option<Field<'_>>| {
        Some((AccountName::parse(name).ok()?, tags::tags(&field?.table()?)?))
    };
    let named = root.field("accounts").and_then(|field| field.table());
    let named = named.iter().flat_map(Table::fields);
    let named = named.filter_map(|(name, field)| read(name, Some(field)));
    named.chain(read(AccountName::DEFAULT, root.field(AccountName::DEFAULT))).collect()
}

/// Without any account, the default one is reported as missing.
fn has_default(root: &Table<'_>) -> bool {
    let empty =
        |field: Field<'_>| matches!(field.value, DeValue::Table(entries) if entries.is_empty());
    root.field(ARGIL.path).is_some() || root.field("accounts").is_none_or(empty)
}

fn read_named(name: &str, field: &Field<'_>) -> Option<(AccountName, AccountSettings)> {
    let name = match AccountName::parse(name) {
        Ok(name) if name.is_default() => {
            field.invalid("is the name of the default account", "write its keys under `[argil]`")
        }
        name => field.valid(name, "is not a valid name"),
    };
    let table = field.table()?;
    table.check_keys(&ACCOUNT);
    let account = read_one(&table);
    Some((name?, account?))
}

fn read_one(table: &Table<'_>) -> Option<AccountSettings> {
    let api_key = table.required("api_key", API_KEY_HELP, |field| {
        secret_source::read(field, Plain::Guarded, SecretKind::Key)
    });
    let base_url = match table.field("base_url") {
        Some(field) => base_url(&field),
        None => Url::parse(BASE_URL).ok(),
    };
    let timeout = table.or("timeout", TIMEOUT, |field| duration::read(field, &TIMEOUT_RANGE));
    let concurrency =
        table.or("max_concurrency", CONCURRENCY, |field| field.integer(CONCURRENCY_RANGE));
    let requests =
        table.or("max_requests_per_second", REQUESTS, |field| field.integer(REQUESTS_RANGE));
    let unavailable_after = table.or("unavailable_after", UNAVAILABLE_AFTER, |field| {
        duration::read(field, &UNAVAILABLE_AFTER_RANGE)
    });
    let tags = tags::tags(table);
    Some(AccountSettings {
        api_key: api_key?,
        base_url: base_url?,
        timeout: timeout?,
        max_concurrency: usize::try_from(concurrency?).ok()?,
        max_requests_per_second: requests?,
        unavailable_after: unavailable_after?,
        tags: tags?,
    })
}

fn warn_of_twins(root: &Table<'_>, accounts: &BTreeMap<AccountName, AccountSettings>) {
    let address =
        |account: &AccountSettings| account.base_url.as_str().trim_end_matches('/').to_owned();
    let same = |a: &AccountSettings, b: &AccountSettings| {
        a.api_key == b.api_key && address(a) == address(b)
    };
    let Some(table) = root.field("accounts").and_then(|field| field.table()) else { return };
    let mut seen: Vec<(AccountName, &AccountSettings)> = Vec::new();
    if let Some((name, account)) = accounts.get_key_value(&AccountName::default()) {
        seen.push((name.clone(), account));
    }
    for (name, field) in table.fields() {
        let name = AccountName::parse(name).ok();
        let Some((name, account)) = name.and_then(|name| accounts.get_key_value(&name)) else {
            continue;
        };
        if let Some((twin, _)) = seen.iter().find(|(_, other)| same(other, account)) {
            let message = format!("has the same key as the account `{twin}`");
            let help = "Argil applies one rate limit to both: keep one of them, or lower \
                        `max_requests_per_second` in both";
            field.warning(message, help);
        }
        seen.push((name.clone(), account));
    }
}

fn base_url(field: &Field<'_>) -> Option<Url> {
    let text = match clean(field.text()?.as_bytes(), SecretKind::Url) {
        Ok(text) => text,
        // The URL parser would drop these, or read them as a part of the path.
        Err(fault) => return field.invalid(fault.to_string(), fault.help()),
    };
    if let Some((message, help)) = web_address::misread(text) {
        return field.invalid(message, help);
    }
    let Ok(url) = Url::parse(text) else {
        return field.invalid("is no URL", format!("the API is at `{BASE_URL}`"));
    };
    let Some(host) = url.host() else {
        return field
            .invalid("is no `https` URL with a host", format!("the API is at `{BASE_URL}`"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return field.invalid("has a user name or password in it", "the key goes into `api_key`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return field
            .invalid("has a `?` or `#` in it", "paths are put behind it; end it before that");
    }
    match url.scheme() {
        "https" => Some(url),
        "http" if host::is_loopback(&host) => Some(url),
        "http" => field.invalid(
            "is `http`, which would send the API key unencrypted",
            "write `https`; `http` is accepted only for this machine, such as \
             `http://127.0.0.1:8080`",
        ),
        _ => field.invalid("is neither `https` nor `http`", format!("the API is at `{BASE_URL}`")),
    }
}

const API_KEY_HELP: &str = "write `api_key = { env = \"ARGIL_API_KEY\" }`";
const BASE_URL: &str = "https://api.argil.ai/v1";
const TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(300);
const CONCURRENCY: u32 = 16;
pub(in crate::config) const CONCURRENCY_RANGE: RangeInclusive<u32> = 1..=256;
const REQUESTS: u32 = 10;
pub(in crate::config) const REQUESTS_RANGE: RangeInclusive<u32> = 1..=10_000;
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(900);
const UNAVAILABLE_AFTER_RANGE: RangeInclusive<Duration> = Duration::from_secs(60)..=LONGEST;

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
