"""File systems that SQLite can or cannot use, by bindfs: one that cannot hold a database is named
before a file is created there. It can hold backups."""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import BINARY, claim, end, wait_for, work_folder

CONFIG = """
[argil]
api_key = "interop-key"
base_url = "http://127.0.0.1:9/v1"
[web]
listen = "off"
[[avatars]]
id = "a1"
"""
SHORTCOMING = "its files cannot be mapped into shared memory"


def command(folder, *words):
    """Runs the program with its database in that folder."""
    environment = {"AVATAR_WATCH_CONFIG": str(config), "STATE_DIRECTORY": str(folder)}
    return subprocess.run([BINARY, *words], capture_output=True, text=True, env=environment,
                          cwd=ground, timeout=60)


def mount(kind, target, options):
    target.mkdir()
    done = subprocess.run(["bindfs", *options, disk, target], capture_output=True, text=True)
    claim(f"bindfs mounts {kind}", done.returncode == 0, done.stderr)
    return target


def names(folder):
    return sorted(path.name for path in folder.iterdir())


ground = work_folder()
config = ground / "avatar-watch.toml"
config.write_text(CONFIG, "utf-8")
config.chmod(0o600)
disk = ground / "disk"
disk.mkdir()
mounted = []
try:
    direct = mount("without shared memory", ground / "direct", ["-o", "direct_io"])
    mounted.append(direct)
    plain = mount("with shared memory", ground / "plain", [])
    mounted.append(plain)
    for word, code in (("check", 2), ("run", 74)):
        done = command(direct, word)
        said = done.stdout + done.stderr
        claim(f"`{word}` names what the file system lacks", SHORTCOMING in said, said)
        claim(f"… and exits with {code}", done.returncode == code, done.returncode)
        # FUSE releases a file some time after it was closed.
        claim("… and leaves nothing there", wait_for(lambda: names(disk) == []), names(disk))

    daemon = subprocess.Popen([BINARY, "run"], cwd=ground, stderr=subprocess.DEVNULL,
                              env={"AVATAR_WATCH_CONFIG": str(config), "STATE_DIRECTORY": str(plain)})
    try:
        fine = wait_for(lambda: command(plain, "status").returncode == 0)
        claim("with shared memory, a daemon runs", fine)
        daemon.kill()
    finally:
        daemon.kill()
        daemon.wait()
    left = names(disk)
    claim("a kill leaves the write-ahead log", "avatar-watch.db-wal" in left, left)
    for words in (["db", "verify"], ["status", "--json"], ["history"]):
        done = command(direct, *words)
        claim(f"the files are read without shared memory: {words[0]}", done.returncode == 0,
              done.stderr)
    claim("… and no file is added", names(disk) == left, names(disk))
    done = command(direct, "run")
    claim("no daemon starts on that file system", done.returncode == 74, done.stderr)
    claim("… and the reason is printed", SHORTCOMING in done.stderr, done.stderr)
    copy = direct / "copy.db"
    done = command(direct, "db", "backup", copy)
    claim("a backup is made there", done.returncode == 0, done.stderr)
    done = command(direct, "db", "verify", copy, "--json")
    claim("… and is sound", json.loads(done.stdout or "{}").get("sound") is True, done.stderr)
    new = ground / "new"
    new.mkdir()
    done = command(new, "db", "restore", copy)
    claim("… and is restored to a disk", done.returncode == 0, done.stderr)
finally:
    for path in mounted:
        if os.path.ismount(path):
            subprocess.run(["umount", path], check=False)
end()
