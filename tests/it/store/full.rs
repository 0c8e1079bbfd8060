//! A full disk: no operation is half done, no row is lost, and pending writes succeed as soon as
//! there is space.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use rustix::process::Signal;

use super::{check_has, fail, run};
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, wait_until};

/// A disk of three megabytes, unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` if this process may not mount.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"]).arg(&path);
        mount.status().is_ok_and(|ended| ended.success()).then_some(Self(path))
    }

    /// Fills the disk until the returned file is removed.
    fn fill(&self) -> PathBuf {
        let pad = self.0.join("pad");
        let mut file = File::create(&pad).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        pad
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn on_a_full_disk_no_operation_is_half_done_and_pending_writes_succeed_later() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1");
    let keep = |how_long: &str| {
        let store = format!("\n[store]\npath = \"disk/a.db\"\nkeep_deliveries = \"{how_long}\"\n");
        config.clone().with(&store).text().to_owned()
    };
    let bench = Bench::new(&keep("forever"));
    let Some(disk) = Disk::mount(bench.path("disk")) else {
        println!("this process may not mount: nothing is tried");
        return;
    };
    let mut daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    run(&bench, &["db", "backup", "copy.db"]);
    let pad = disk.fill();
    bench.configure(&keep("7d"));
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("cannot write the config status yet; will retry: no space left");
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("ERROR cannot write avatar changes yet; will retry: no space left");
    // The config has no page that could be asked.
    let unwritable = "CRITICAL: The database is not writable (no space left";
    bench.prints(&["status", "--check"], 2, &[unwritable]);
    bench.prints(&["status"], 0, &["critical: The database is not writable (no space left"]);
    let before = names(&disk.0);
    check_has(&fail(&bench, &["db", "backup", "disk/copy.db"], 74), "no space left");
    assert_eq!(names(&disk.0), before);

    fs::remove_file(pad).unwrap();
    daemon.wait_for_log("avatar \"avatar a1\": TRAINING -> IDLE");
    wait_until("the active config", || {
        let database = Connection::open(disk.0.join("a.db")).unwrap();
        let sql = "SELECT active FROM config";
        let text: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
        text.contains(r#""keep_deliveries":"7d""#)
    });
    bench.prints(&["status", "--check"], 0, &["OK: "]);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    let pad = disk.fill();
    let before = names(&disk.0);
    fail(&bench, &["db", "restore", "copy.db"], 74);
    assert_eq!(names(&disk.0), before);
    fs::remove_file(pad).unwrap();
    let verified = bench.json(&["db", "verify", "--json"]);
    assert_eq!((&verified["sound"], &verified["transitions"]), (&true.into(), &2.into()));
    run(&bench, &["db", "restore", "copy.db"]);
}
