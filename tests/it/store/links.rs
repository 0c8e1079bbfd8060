//! A database that is named by a link: the files beside it are beside the target of the link.

use std::fs;
use std::os::unix::fs::symlink;

use super::{fail, run};
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::Bench;

#[test]
fn a_restore_through_a_link_replaces_the_target() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url()).avatar("a1");
    let bench = Bench::new(config.with("\n[store]\npath = \"link.db\"\n").text());
    fs::create_dir(bench.path("disk")).unwrap();
    symlink("disk/real.db", bench.path("link.db")).unwrap();
    let daemon = bench.start_training(&argil);
    // The first run created the file, and its lock is found through both names.
    fail(&bench, &["db", "restore", "none.db", "--database", "disk/real.db"], 65);
    run(&bench, &["db", "backup", "copy.db"]);
    for name in ["link.db", "disk/real.db"] {
        fail(&bench, &["db", "restore", "copy.db", "--database", name], 75);
    }
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("TRAINING -> IDLE");
    daemon.kill();

    let restored = bench.json(&["db", "restore", "copy.db", "--json"]);
    assert_eq!(restored["lost"]["transitions"], 1);
    assert_eq!(fs::read_link(bench.path("link.db")).unwrap().to_str(), Some("disk/real.db"));
    let changes = |name: &str| {
        let history = bench.json(&["history", "--json", "--database", name]);
        history.as_array().unwrap().len()
    };
    assert_eq!((changes("link.db"), changes("disk/real.db")), (1, 1));
    let kept = restored["kept"].as_str().unwrap();
    assert_eq!(changes(kept), 2);
    assert!(kept.contains("disk/real.db.before-restore-"), "{kept}");
    let stray = ["link.db.lock", "link.db-wal", "link.db-shm"];
    assert!(stray.iter().all(|name| !bench.path(name).exists()));
}
