use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use super::*;
use crate::files::paths::LINKS_MAX;

/// Users and groups of this machine that nobody is.
const ALICE: u32 = 61_851;
const MALLORY: u32 = 61_852;
const UNMAPPED: u32 = 65_534;

/// A folder with a file in it, whose owners and modes are set by root.
struct Place(TempDir);

impl Place {
    /// `None` where this process cannot make files of other users.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            println!("only root can be two users: nothing is tried");
            return None;
        }
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.folder()).unwrap();
        fs::write(place.file(), "").unwrap();
        Some(place)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("folder")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("file")
    }

    fn set(&self, [folder, file]: [(u32, u32); 2]) {
        for (path, (owner, mode)) in [(self.folder(), folder), (self.file(), file)] {
            chown(&path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// The trust of a process of that user, with every user mapped.
fn of_user(me: u32) -> Trust {
    Trust { users: vec![ROOT, me], me, unmapped: None, is_found: false }
}

fn kind(verdict: &Ownership) -> &'static str {
    match verdict {
        Ownership::Trusted => "trusted",
        Ownership::Doubtful(_) => "doubtful",
        Ownership::Distrusted(_) => "distrusted",
    }
}

#[test]
fn only_what_root_or_this_user_owns_and_nobody_else_can_write_is_trusted() {
    let Some(place) = Place::new() else { return };
    // The folder and the file; what they are to a user and to root, to each as named by the config
    // and on the command line, and to root as found.
    let (ours, roots, theirs) = ((ALICE, 0o755), (ROOT, 0o755), (MALLORY, 0o755));
    let (open, sticky) = ((ROOT, 0o777), (ROOT, 0o1777));
    let check = |set: [(u32, u32); 2], expected: [&str; 5]| {
        place.set(set);
        let (path, facts) = (place.file(), Facts::at(&place.file()).unwrap());
        let (alice, root) = (of_user(ALICE), of_user(ROOT));
        let verdicts = [
            alice.check(&path, &facts),
            alice.judge_named(&path, &facts),
            root.check(&path, &facts),
            root.judge_named(&path, &facts),
            root.for_found().judge_named(&path, &facts),
        ];
        assert_eq!(verdicts.each_ref().map(kind), expected, "{set:?}: {verdicts:?}");
    };
    let [yes, no, doubt] = ["trusted", "distrusted", "doubtful"];
    for folder in [ours, roots, theirs, open, sticky] {
        check([folder, (ROOT, 0o644)], [yes; 5]);
        for mode in [0o666, 0o602, 0o646, 0o1666, 0o777] {
            check([folder, (ROOT, mode)], [no; 5]);
            check([folder, (ALICE, mode)], [no; 5]);
        }
    }
    check([ours, (ALICE, 0o600)], [yes, yes, no, doubt, no]);
    check([roots, (ALICE, 0o600)], [yes, yes, doubt, doubt, no]);
    check([open, (ALICE, 0o600)], [yes, yes, no, no, no]);
    check([sticky, (ALICE, 0o600)], [yes, yes, no, no, no]);
    check([theirs, (MALLORY, 0o600)], [no, yes, no, doubt, no]);
    check([ours, (MALLORY, 0o600)], [no, yes, no, no, no]);
    check([roots, (MALLORY, 0o600)], [no, yes, doubt, doubt, no]);
    check([open, (MALLORY, 0o600)], [no; 5]);
    check([sticky, (MALLORY, 0o600)], [no; 5]);
    check([(MALLORY, 0o775), (MALLORY, 0o660)], [no, yes, no, doubt, no]);
    // Who called `sudo` is meant.
    place.set([ours, (ALICE, 0o600)]);
    let (path, facts) = (place.file(), Facts::at(&place.file()).unwrap());
    let caller = of_user(ROOT).with_caller(Some(ALICE)).for_found();
    assert_eq!(caller.judge_named(&path, &facts), Ownership::Trusted);
    assert_eq!(caller.judge_folder(&place.folder()), Ok(()));
    let liar = of_user(ALICE).with_caller(Some(MALLORY));
    assert_eq!(liar, of_user(ALICE), "only for root is there such a variable");
}

#[test]
fn what_is_wrong_is_said_with_its_mend() {
    let Some(place) = Place::new() else { return };
    let (path, folder) = (place.file(), place.folder());
    let check = |trust: &Trust, what: &str, help: &str| {
        let found = trust.check(&path, &Facts::at(&path).unwrap()).strict().unwrap_err();
        assert_eq!(found.what, what);
        assert_eq!(found.help.replace(path.to_str().unwrap(), "FILE"), help);
    };
    place.set([(ROOT, 0o1777), (MALLORY, 0o600)]);
    check(
        &of_user(ALICE),
        "belongs to user 61852, neither to root nor to user 61851, who runs this",
        "look what is in it; if it is meant: `chown 61851 FILE`",
    );
    check(
        &of_user(ROOT),
        "belongs to user 61852, not to root, who runs this",
        "look what is in it; if it is meant: `chown root FILE`",
    );
    place.set([(ROOT, 0o755), (MALLORY, 0o600)]);
    check(
        &of_user(ROOT),
        "belongs to user 61852, not to root, who runs this",
        "right if user 61852 runs the daemon; else `chown root FILE`",
    );
    place.set([(ROOT, 0o755), (ROOT, 0o666)]);
    check(&of_user(ROOT), "can be written by everybody (its mode is 0666)", "`chmod go-w FILE`");
    assert_eq!(of_user(ALICE).judge_folder(&folder), Ok(()));
    place.set([(ROOT, 0o1777), (ROOT, 0o600)]);
    let open = of_user(ALICE).judge_folder(&folder).unwrap_err();
    assert_eq!(open.what, "can be written by everybody (its mode is 1777)");
    assert!(of_user(ALICE).judge_folder(&folder.join("none")).is_err());
}

#[test]
fn a_group_may_write_when_nobody_else_is_in_it() {
    let Some(place) = Place::new() else { return };
    let path = place.file();
    let judge = |trust: &Trust| kind(&trust.check(&path, &Facts::at(&path).unwrap()));
    // A group of the owner's own, or of a volume, that the machine has no members of.
    place.set([(ALICE, 0o775), (ALICE, 0o664)]);
    assert_eq!(judge(&of_user(ALICE)), "trusted");
    assert_eq!(of_user(ALICE).judge_folder(&place.folder()), Ok(()));
    assert_eq!(of_user(ALICE).for_found().judge_folder(&place.folder()), Ok(()));
    // The group `daemon` of every Unix has the user `daemon`.
    chown(&path, None, Some(1)).unwrap();
    assert_eq!(judge(&of_user(ALICE)), "distrusted");
    assert_eq!(judge(&of_user(ALICE).with_owner(1)), "trusted");
    chown(&path, None, Some(0)).unwrap();
    assert_eq!(judge(&of_user(ALICE)), "trusted", "who acts for root may");
    // An access control list hides behind the bits of the group.
    chown(&path, None, Some(ALICE)).unwrap();
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in
        [(1, 6, u32::MAX), (2, 6, MALLORY), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)]
    {
        list.extend([u16::to_le_bytes(tag), u16::to_le_bytes(rights)].concat());
        list.extend(id.to_le_bytes());
    }
    match setxattr(&path, ACL, &list, XattrFlags::empty()) {
        Ok(()) => assert_eq!(judge(&of_user(ALICE)), "distrusted"),
        Err(failure) => println!("no access control lists here: {failure}"),
    }
}

#[test]
fn a_link_of_somebody_else_leads_nobody() {
    let Some(place) = Place::new() else { return };
    place.set([(ROOT, 0o755), (ALICE, 0o600)]);
    let open = place.0.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let (near, far) = (open.join("near"), open.join("far"));
    symlink(place.file(), &near).unwrap();
    symlink("near", &far).unwrap();
    let judge = |path: &Path| kind(&of_user(ALICE).check(path, &Facts::at(path).unwrap()));
    assert_eq!((judge(&near), judge(&far)), ("trusted", "trusted"));
    std::os::unix::fs::lchown(&near, Some(MALLORY), None).unwrap();
    assert_eq!((judge(&near), judge(&far)), ("distrusted", "distrusted"));
    symlink("turning", open.join("turning")).unwrap();
    assert!(hops(&open.join("turning")).len() <= LINKS_MAX + 1, "it has an end");
}

#[test]
fn a_program_is_run_when_nobody_else_can_put_another_one_in_its_place() {
    let Some(place) = Place::new() else { return };
    let above = place.0.path();
    let check = |above_mode: u32, set, alice: bool, root: bool| {
        fs::set_permissions(above, Permissions::from_mode(above_mode)).unwrap();
        place.set(set);
        let runs = |me| of_user(me).judge_program(&place.file()).strict().is_ok();
        assert_eq!((runs(ALICE), runs(ROOT)), (alice, root), "{above_mode:o} {set:?}");
    };
    let (ours, roots, open) = ((ALICE, 0o755), (ROOT, 0o755), (ROOT, 0o777));
    check(0o755, [roots, roots], true, true);
    check(0o755, [roots, ours], true, false);
    check(0o755, [ours, roots], true, false);
    check(0o755, [roots, (MALLORY, 0o755)], false, false);
    check(0o755, [open, roots], false, false);
    check(0o755, [(ROOT, 0o1777), roots], true, true);
    check(0o755, [(MALLORY, 0o1777), roots], false, false);
    check(0o777, [roots, roots], false, false);
    check(0o1777, [roots, roots], true, true);
    assert_eq!(of_user(ALICE).judge_program(Path::new("/no/such/program")), Ownership::Trusted);
    assert_eq!(of_user(ALICE).judge_program(Path::new("/bin/sh")), Ownership::Trusted);
}

#[test]
fn what_only_who_mounts_can_have_put_there_is_trusted_where_it_was_named() {
    let Some(place) = Place::new() else { return };
    let path = place.file();
    place.set([(UNMAPPED, 0o777), (UNMAPPED, 0o666)]);
    let facts = Facts::at(&path).unwrap();
    assert!(!facts.is_mounted_read_only && facts.is_readable_by_everybody());
    let mounted = Facts { is_mounted_read_only: true, ..facts };
    assert!(!mounted.is_readable_by_everybody());
    assert_eq!(of_user(ALICE).check(&path, &mounted), Ownership::Trusted);
    assert_eq!(kind(&of_user(ALICE).for_found().judge_named(&path, &mounted)), "distrusted");
    let inside = Trust { unmapped: Some(UNMAPPED), ..of_user(ALICE) };
    let nobody = Trust { unmapped: Some(UNMAPPED), ..of_user(UNMAPPED) };
    assert_eq!(kind(&inside.check(&path, &facts)), "distrusted", "who can write it is known");
    place.set([(UNMAPPED, 0o755), (UNMAPPED, 0o644)]);
    let facts = Facts::at(&path).unwrap();
    assert_eq!(inside.check(&path, &facts), Ownership::Trusted);
    assert_eq!(kind(&inside.for_found().judge_named(&path, &facts)), "distrusted");
    assert_eq!(kind(&nobody.for_found().judge_named(&path, &facts)), "distrusted", "not its own");
    assert_eq!(kind(&of_user(ALICE).check(&path, &facts)), "distrusted", "a user like any other");
}

#[test]
fn a_user_namespace_has_the_users_of_its_map() {
    let whole = "         0          0 4294967295\n";
    let container = "         0       1000          1\n         1     100000      65536\n";
    let private = "         0          0          1\n     61845      61845          1\n";
    let check = |map: &str, uid: u32, expected: bool| assert_eq!(is_mapped(map, uid), expected);
    check(whole, UNMAPPED, true);
    check(container, UNMAPPED, true);
    check("0 1000 1", UNMAPPED, false);
    check(private, UNMAPPED, false);
    check(private, 61_845, true);
    check(private, 61_846, false);
    check("", 0, false);
}
