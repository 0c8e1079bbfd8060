use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use super::*;
use crate::files::paths::LINKS_MAX;

/// Ids of users and groups that do not exist on this machine.
const ALICE: u32 = 61_851;
const MALLORY: u32 = 61_852;
const UNMAPPED: u32 = 65_534;

/// A folder with a file; root sets the owner and mode of both.
struct Fixture(TempDir);

impl Fixture {
    /// `None` unless this process can create files of other users.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: requires root");
            return None;
        }
        let fixture = Self(tempfile::tempdir().unwrap());
        fs::create_dir(fixture.folder()).unwrap();
        fs::write(fixture.file(), "").unwrap();
        Some(fixture)
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
fn a_file_of_root_or_this_user_that_no_other_user_can_write_is_trusted() {
    let Some(fixture) = Fixture::new() else { return };
    // The folder and the file; the result for a user and for root, each for a file named by the
    // config and on the command line, and for root for a file that was found.
    let (ours, roots, theirs) = ((ALICE, 0o755), (ROOT, 0o755), (MALLORY, 0o755));
    let (open, sticky) = ((ROOT, 0o777), (ROOT, 0o1777));
    let check = |set: [(u32, u32); 2], expected: [&str; 5]| {
        fixture.set(set);
        let (path, facts) = (fixture.file(), Facts::at(&fixture.file()).unwrap());
        let (alice, root) = (of_user(ALICE), of_user(ROOT));
        let verdicts = [
            alice.check(&path, &facts),
            alice.check_named(&path, &facts),
            root.check(&path, &facts),
            root.check_named(&path, &facts),
            root.for_found().check_named(&path, &facts),
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
    // The user who called `sudo` is trusted.
    fixture.set([ours, (ALICE, 0o600)]);
    let (path, facts) = (fixture.file(), Facts::at(&fixture.file()).unwrap());
    let caller = of_user(ROOT).with_caller(Some(ALICE)).for_found();
    assert_eq!(caller.check_named(&path, &facts), Ownership::Trusted);
    assert_eq!(caller.check_folder(&fixture.folder()), Ok(()));
    let spoofed = of_user(ALICE).with_caller(Some(MALLORY));
    assert_eq!(spoofed, of_user(ALICE), "the variable counts for root only");
}

#[test]
fn the_reason_is_reported_with_a_fix() {
    let Some(fixture) = Fixture::new() else { return };
    let (path, folder) = (fixture.file(), fixture.folder());
    let check = |trust: &Trust, what: &str, help: &str| {
        let found = trust.check(&path, &Facts::at(&path).unwrap()).strict().unwrap_err();
        assert_eq!(found.what, what);
        assert_eq!(found.help.replace(path.to_str().unwrap(), "FILE"), help);
    };
    fixture.set([(ROOT, 0o1777), (MALLORY, 0o600)]);
    check(
        &of_user(ALICE),
        "belongs to user 61852, neither to root nor to user 61851, who runs this",
        "check its content; if you trust it: `chown 61851 FILE`",
    );
    check(
        &of_user(ROOT),
        "belongs to user 61852, not to root, who runs this",
        "check its content; if you trust it: `chown root FILE`",
    );
    fixture.set([(ROOT, 0o755), (MALLORY, 0o600)]);
    check(
        &of_user(ROOT),
        "belongs to user 61852, not to root, who runs this",
        "right if user 61852 runs the daemon; else `chown root FILE`",
    );
    fixture.set([(ROOT, 0o755), (ROOT, 0o666)]);
    check(&of_user(ROOT), "can be written by everybody (its mode is 0666)", "`chmod go-w FILE`");
    assert_eq!(of_user(ALICE).check_folder(&folder), Ok(()));
    fixture.set([(ROOT, 0o1777), (ROOT, 0o600)]);
    let open = of_user(ALICE).check_folder(&folder).unwrap_err();
    assert_eq!(open.what, "can be written by everybody (its mode is 1777)");
    assert!(of_user(ALICE).check_folder(&folder.join("none")).is_err());
}

#[test]
fn a_group_without_other_members_may_write() {
    let Some(fixture) = Fixture::new() else { return };
    let path = fixture.file();
    let judge = |trust: &Trust| kind(&trust.check(&path, &Facts::at(&path).unwrap()));
    // A group of the owner's own, or of a volume, that the machine has no members of.
    fixture.set([(ALICE, 0o775), (ALICE, 0o664)]);
    assert_eq!(judge(&of_user(ALICE)), "trusted");
    assert_eq!(of_user(ALICE).check_folder(&fixture.folder()), Ok(()));
    assert_eq!(of_user(ALICE).for_found().check_folder(&fixture.folder()), Ok(()));
    // The group `daemon` of every Unix has the user `daemon`.
    chown(&path, None, Some(1)).unwrap();
    assert_eq!(judge(&of_user(ALICE)), "distrusted");
    assert_eq!(judge(&of_user(ALICE).with_owner(1)), "trusted");
    chown(&path, None, Some(0)).unwrap();
    assert_eq!(judge(&of_user(ALICE)), "trusted", "members of the group root may");
    // The group bits hide the entries of an access control list.
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
fn a_link_of_another_user_is_not_trusted() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.set([(ROOT, 0o755), (ALICE, 0o600)]);
    let open = fixture.0.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let (near, far) = (open.join("near"), open.join("far"));
    symlink(fixture.file(), &near).unwrap();
    symlink("near", &far).unwrap();
    let judge = |path: &Path| kind(&of_user(ALICE).check(path, &Facts::at(path).unwrap()));
    assert_eq!((judge(&near), judge(&far)), ("trusted", "trusted"));
    std::os::unix::fs::lchown(&near, Some(MALLORY), None).unwrap();
    assert_eq!((judge(&near), judge(&far)), ("distrusted", "distrusted"));
    symlink("turning", open.join("turning")).unwrap();
    assert!(hops(&open.join("turning")).len() <= LINKS_MAX + 1, "the number of hops is limited");
}

#[test]
fn a_program_is_trusted_when_no_other_user_can_replace_it() {
    let Some(fixture) = Fixture::new() else { return };
    let above = fixture.0.path();
    let check = |above_mode: u32, set, alice: bool, root: bool| {
        fs::set_permissions(above, Permissions::from_mode(above_mode)).unwrap();
        fixture.set(set);
        let runs = |me| of_user(me).check_program(&fixture.file()).strict().is_ok();
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
    assert_eq!(of_user(ALICE).check_program(Path::new("/no/such/program")), Ownership::Trusted);
    assert_eq!(of_user(ALICE).check_program(Path::new("/bin/sh")), Ownership::Trusted);
}

#[test]
fn a_named_file_on_a_read_only_mount_is_trusted() {
    let Some(fixture) = Fixture::new() else { return };
    let path = fixture.file();
    fixture.set([(UNMAPPED, 0o777), (UNMAPPED, 0o666)]);
    let facts = Facts::at(&path).unwrap();
    assert!(!facts.is_mounted_read_only && facts.is_world_readable());
    let mounted = Facts { is_mounted_read_only: true, ..facts };
    assert!(!mounted.is_world_readable());
    assert_eq!(of_user(ALICE).check(&path, &mounted), Ownership::Trusted);
    assert_eq!(kind(&of_user(ALICE).for_found().check_named(&path, &mounted)), "distrusted");
    let inside = Trust { unmapped: Some(UNMAPPED), ..of_user(ALICE) };
    let unmapped = Trust { unmapped: Some(UNMAPPED), ..of_user(UNMAPPED) };
    assert_eq!(kind(&inside.check(&path, &facts)), "distrusted", "writable by everyone");
    fixture.set([(UNMAPPED, 0o755), (UNMAPPED, 0o644)]);
    let facts = Facts::at(&path).unwrap();
    assert_eq!(inside.check(&path, &facts), Ownership::Trusted);
    assert_eq!(kind(&inside.for_found().check_named(&path, &facts)), "distrusted");
    assert_eq!(kind(&unmapped.for_found().check_named(&path, &facts)), "distrusted", "not its own");
    assert_eq!(kind(&of_user(ALICE).check(&path, &facts)), "distrusted", "an ordinary user");
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
