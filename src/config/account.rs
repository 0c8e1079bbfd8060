//! `[argil]`: the account, and how hard the API may be asked.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use crate::config::duration;
use crate::config::field::Field;
use crate::config::host;
use crate::config::reader::Table;
use crate::config::schema::ARGIL;
use crate::config::secret_source::{self, Plain};
use crate::config::settings::ArgilSettings;
use crate::secret::Secret;

/// Reads the account.
pub(super) fn read(root: &Table<'_>) -> Option<ArgilSettings> {
    let argil = root.section(ARGIL.path, &ARGIL)?;
    let api_key = argil.required("api_key", API_KEY_MEND, api_key);
    let base_url = match argil.field("base_url") {
        Some(field) => base_url(&field),
        None => Url::parse(BASE_URL).ok(),
    };
    let timeout = argil.or("timeout", TIMEOUT, |field| duration::read(field, &TIMEOUT_RANGE));
    let concurrency =
        argil.or("max_concurrency", CONCURRENCY, |field| field.integer(CONCURRENCY_RANGE));
    let requests =
        argil.or("max_requests_per_second", REQUESTS, |field| field.integer(REQUESTS_RANGE));
    Some(ArgilSettings {
        api_key: api_key?,
        base_url: base_url?,
        timeout: timeout?,
        max_concurrency: usize::try_from(concurrency?).ok()?,
        max_requests_per_second: requests?,
    })
}

fn api_key(field: &Field<'_>) -> Option<Secret> {
    let key = secret_source::read(field, Plain::Guarded)?;
    if key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(key);
    }
    field.wrong(
        "has a blank, a control character or a character beyond ASCII in it",
        "copy the key again; it is sent as a header, which cannot carry those",
    )
}

fn base_url(field: &Field<'_>) -> Option<Url> {
    let Ok(url) = Url::parse(field.text()?) else {
        return field.wrong("is no URL", format!("the API is at `{BASE_URL}`"));
    };
    let Some(host) = url.host() else {
        return field.wrong("is no `https` URL with a host", format!("the API is at `{BASE_URL}`"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return field.wrong("has a user name or password in it", "the key goes into `api_key`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return field
            .wrong("has a `?` or `#` in it", "paths are put behind it; end it before that");
    }
    match url.scheme() {
        "https" => Some(url),
        "http" if host::is_loopback(&host) => Some(url),
        "http" => field.wrong(
            "is `http`, which would send the API key in the clear",
            "write `https`; `http` is only for this very machine, such as `http://127.0.0.1:8080`",
        ),
        _ => field.wrong("is neither `https` nor `http`", format!("the API is at `{BASE_URL}`")),
    }
}

const API_KEY_MEND: &str = "write `api_key = { env = \"ARGIL_API_KEY\" }`";
const BASE_URL: &str = "https://api.argil.ai/v1";
const TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(300);
const CONCURRENCY: u32 = 16;
const CONCURRENCY_RANGE: RangeInclusive<u32> = 1..=256;
const REQUESTS: u32 = 10;
const REQUESTS_RANGE: RangeInclusive<u32> = 1..=10_000;
