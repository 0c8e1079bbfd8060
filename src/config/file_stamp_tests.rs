use std::cell::Cell;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::file;
use crate::config::settings::Settings;
use crate::domain::account::AccountName;

/// A folder like a volume of Kubernetes: what is in it are links through `..data`, which leads to
/// a folder of one generation and is swapped in one step.
struct Volume(TempDir);

impl Volume {
    fn new() -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        for letter in ["a", "b"] {
            let folder = volume.path(&format!("..{letter}"));
            fs::create_dir_all(folder.join("avatars.d")).unwrap();
            let config = "[argil]\napi_key = { file = 'key' }\n\
                          [[avatars]]\nid = 'from-config-GENERATION'\n";
            let drop_in = "[[avatars]]\nid = 'from-drop-in-GENERATION'\n";
            let of = |text: &str| text.replace("GENERATION", letter);
            fs::write(folder.join("config.toml"), of(config)).unwrap();
            fs::write(folder.join("key"), of("key-GENERATION")).unwrap();
            fs::write(folder.join(format!("avatars.d/{letter}.toml")), of(drop_in)).unwrap();
        }
        volume.swap("a");
        for name in ["config.toml", "key", "avatars.d"] {
            symlink(Path::new("..data").join(name), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn swap(&self, to: &str) {
        symlink(format!("..{to}"), self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }
}

/// The one generation that all of the settings are of.
#[track_caller]
fn generation(settings: &Settings) -> String {
    let key = settings.accounts[&AccountName::default()].api_key.expose();
    let ids: Vec<&str> = settings.avatars.iter().map(|avatar| avatar.id.as_str()).collect();
    let letter = key.strip_prefix("key-").unwrap();
    let expected = [format!("from-config-{letter}"), format!("from-drop-in-{letter}")];
    assert_eq!(ids, expected, "with the key of {letter}");
    letter.to_owned()
}

fn text(generation: &Generation, path: &Path) -> String {
    let read = generation.read(path).map(|(bytes, _)| String::from_utf8(bytes).unwrap());
    read.unwrap_or_default()
}

#[test]
fn a_swap_during_a_load_is_detected_and_all_is_read_again() {
    let volume = Volume::new();
    let readings = Cell::new(0);
    let (found, changed) = settled(|generation| {
        readings.set(readings.get() + 1);
        let config = text(generation, &volume.path("config.toml"));
        if readings.get() == 1 {
            volume.swap("b");
        }
        (config.contains("from-config-b"), text(generation, &volume.path("key")))
    });
    assert_eq!((found, changed, readings.get()), ((true, "key-b".to_owned()), None, 2));
}

#[test]
fn what_comes_or_goes_or_is_written_meanwhile_is_noticed() {
    let check = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        let readings = Cell::new(0);
        fs::write(folder.path().join("there"), "half").unwrap();
        let list: ListFolder = |folder| {
            let entries = fs::read_dir(folder)?.map(|entry| entry.map(|it| it.file_name()));
            let mut names = entries.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        };
        let ((), changed) = settled(|generation| {
            readings.set(readings.get() + 1);
            text(generation, &folder.path().join("there"));
            text(generation, &folder.path().join("absent"));
            generation.list(folder.path(), list).unwrap();
            if readings.get() == 1 {
                change(folder.path());
            }
        });
        assert_eq!((changed, readings.get()), (None, 2));
    };
    check(&|folder| fs::write(folder.join("there"), "half, and the rest").unwrap());
    check(&|folder| fs::write(folder.join("absent"), "it is here").unwrap());
    check(&|folder| fs::remove_file(folder.join("there")).unwrap());
    check(&|folder| fs::write(folder.join("new.toml"), "").unwrap());
    check(&|folder| {
        // Another file of the same size, put in its place as editors do it.
        fs::write(folder.join("there~"), "HALF").unwrap();
        fs::rename(folder.join("there~"), folder.join("there")).unwrap();
    });
}

#[test]
fn a_file_that_keeps_changing_is_reported_and_not_read_forever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let readings = Cell::new(0);
    let ((), changed) = settled(|generation| {
        readings.set(readings.get() + 1);
        text(generation, &path);
        fs::write(&path, "x".repeat(readings.get())).unwrap();
    });
    assert_eq!(changed.as_deref(), Some(path.as_path()));
    assert_eq!(readings.get(), 10);
}

#[test]
fn however_often_it_is_swapped_the_settings_are_of_one_generation() {
    let volume = Volume::new();
    let done = AtomicBool::new(false);
    let mut seen = std::collections::BTreeSet::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for letter in ["b", "a"].into_iter().cycle().take(20_000) {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                volume.swap(letter);
                thread::sleep(Duration::from_micros(1_500));
            }
        });
        for _ in 0..100 {
            match file::load(
                &ConfigFile::named(volume.path("config.toml")),
                &Environment::default(),
            ) {
                Ok(settings) => drop(seen.insert(generation(&settings))),
                // It swaps faster than a slow machine reads: that is said, and nothing is mixed.
                Err(failure) => {
                    assert!(failure.to_string().contains("keeps changing"), "{failure}")
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(!seen.is_empty(), "nothing was ever read whole");
}
