//! A fake Argil API according to the published OpenAPI document: avatars as they were set, one by
//! one and as a list, for the right key.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::demo::fake_server::{Request, Response};

/// The avatars of the fake API, and its key.
#[derive(Debug, Default)]
pub struct FakeArgil(Mutex<Account>);

#[derive(Debug, Default)]
struct Account {
    key: Option<String>,
    avatars: BTreeMap<String, Value>,
    hidden: HashSet<String>,
}

impl FakeArgil {
    /// From now on a request with another `x-api-key` gets 401.
    pub fn require_key(&self, key: &str) {
        self.account().key = Some(key.to_owned());
    }

    /// From now on the avatar is this JSON.
    pub fn set_avatar(&self, id: &str, avatar: Value) {
        self.account().avatars.insert(id.to_owned(), avatar);
    }

    /// From now on there is no such avatar.
    pub fn remove(&self, id: &str) {
        self.account().avatars.remove(id);
    }

    /// From now on lists do not show the avatar.
    pub fn hide_from_list(&self, id: &str) {
        self.account().hidden.insert(id.to_owned());
    }

    /// The response to a request for an avatar or for [`LIST`].
    pub fn respond(&self, request: &Request) -> Response {
        let account = self.account();
        if account.key.is_some() && request.header("x-api-key") != account.key.as_deref() {
            return error(401, "Unauthorized");
        }
        if request.path == LIST {
            let shown = account.avatars.iter().filter(|(id, _)| !account.hidden.contains(*id));
            let shown: Vec<_> = shown.map(|(_, avatar)| avatar).collect();
            return json_of(200, &json!(shown));
        }
        match account.avatars.get(&id_in(&request.path)) {
            Some(avatar) => json_of(200, avatar),
            None => error(404, "Avatar not found"),
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id in the path of an avatar, decoded; empty in any other path.
pub fn id_in(path: &str) -> String {
    let id = path.strip_prefix("/v1/avatars/").filter(|id| !id.contains(['/', '?']));
    percent_decode_str(id.unwrap_or_default()).decode_utf8_lossy().into_owned()
}

/// A failure in the documented form.
pub fn error(code: u16, message: &str) -> Response {
    json_of(code, &json!({"code": code, "message": message}))
}

fn json_of(code: u16, value: &Value) -> Response {
    Response::new(code, value.to_string()).with("content-type", "application/json")
}

/// The path of a list.
pub const LIST: &str = "/v1/avatars?visibility=private";
