//! The users and groups of this machine. The only file that reads its user database.

use std::fs;

use nix::unistd::{Gid, Group, User};

/// A user as shown in messages: by name if `/etc/passwd` has one, else by id.
pub fn user(uid: u32) -> String {
    match name(uid) {
        Some(name) => format!("user `{name}`"),
        None => format!("user {uid}"),
    }
}

/// A user as an argument of commands: the name, or the id.
pub fn bare(uid: u32) -> String {
    name(uid).unwrap_or_else(|| uid.to_string())
}

/// A group as shown in messages.
pub(super) fn group(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(found)) => format!("group `{}`", found.name),
        Ok(None) | Err(_) => format!("group {gid}"),
    }
}

/// Whether a group has a member that is not known: a user that the group lists, or one with that
/// primary group in `/etc/passwd`. False for the group of root, since its members act for root.
pub(super) fn has_other_members(gid: u32, is_known: impl Fn(u32) -> bool) -> bool {
    if gid == ROOT {
        return false;
    }
    let listed = match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.mem,
        Ok(None) => Vec::new(),
        // The members cannot be read.
        Err(_) => return true,
    };
    let uid = |name: &String| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    let mut listed = listed.iter().map(uid);
    let own = users().into_iter().filter(|user| user.gid == gid).map(|user| user.uid);
    listed.any(|uid| uid.is_none_or(|uid| !is_known(uid)))
        || own.into_iter().any(|it| !is_known(it))
}

fn name(uid: u32) -> Option<String> {
    users().into_iter().find(|user| user.uid == uid).map(|user| user.name)
}

/// A line of `/etc/passwd`.
struct Listed {
    name: String,
    uid: u32,
    gid: u32,
}

fn users() -> Vec<Listed> {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let read = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Listed { name, uid, gid })
    };
    list.lines().filter_map(read).collect()
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_are_read_from_the_user_database() {
        for Listed { name, gid, .. } in users() {
            assert!(gid == ROOT || has_other_members(gid, |_| false), "`{name}` is in {gid}");
            assert!(!has_other_members(gid, |_| true));
        }
        // A group without an entry, as volumes of containers have.
        assert!(!has_other_members(3_141_592, |_| false));
        assert_eq!(group(3_141_592), "group 3141592");
        assert_eq!(user(3_141_592), "user 3141592");
        assert_eq!((bare(0).as_str(), bare(3_141_592).as_str()), ("root", "3141592"));
    }
}
