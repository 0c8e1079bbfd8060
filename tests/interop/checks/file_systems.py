"""File systems that SQLite can or cannot use, by bindfs: what cannot hold a database is named before
anything is made there, and can hold copies all the same."""

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
    """The program with its database in that folder of the ground."""
    environment = {"AVATAR_WATCH_CONFIG": str(config), "STATE_DIRECTORY": str(folder)}
    return subprocess.run([BINARY, *words], capture_output=True, text=True, env=environment,
                          cwd=ground, timeout=60)


def mount(kind, goal, options):
    goal.mkdir()
    done = subprocess.run(["bindfs", *options, disk, goal], capture_output=True, text=True)
    claim(f"bindfs mounts {kind}", done.returncode == 0, done.stderr)
    return goal


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
        claim(f"`{word}` says what the file system lacks", SHORTCOMING in said, said)
        claim(f"… and exits with {code}", done.returncode == code, done.returncode)
        # FUSE lets go of a file a moment after it was closed.
        claim("… and leaves nothing there", wait_for(lambda: names(disk) == []), names(disk))

    daemon = subprocess.Popen([BINARY, "run"], cwd=ground, stderr=subprocess.DEVNULL,
                              env={"AVATAR_WATCH_CONFIG": str(config), "STATE_DIRECTORY": str(plain)})
    try:
        fine = wait_for(lambda: command(plain, "status").returncode == 0)
        claim("where memory can be shared, a daemon runs", fine)
        daemon.kill()
    finally:
        daemon.kill()
        daemon.wait()
    left = names(disk)
    claim("a kill leaves the log behind", "avatar-watch.db-wal" in left, left)
    for words in (["db", "verify"], ["status", "--json"], ["history"]):
        done = command(direct, *words)
        claim(f"what it left is read without shared memory: {words[0]}", done.returncode == 0,
              done.stderr)
    claim("… and nothing is added", names(disk) == left, names(disk))
    done = command(direct, "run")
    claim("no daemon starts with it there", done.returncode == 74, done.stderr)
    claim("… and says why", SHORTCOMING in done.stderr, done.stderr)
    copy = direct / "copy.db"
    done = command(direct, "db", "backup", copy)
    claim("a copy is made there", done.returncode == 0, done.stderr)
    done = command(direct, "db", "verify", copy, "--json")
    claim("… and is sound", json.loads(done.stdout or "{}").get("sound") is True, done.stderr)
    new = ground / "new"
    new.mkdir()
    done = command(new, "db", "restore", copy)
    claim("… and is put back on a disk", done.returncode == 0, done.stderr)
finally:
    for goal in mounted:
        if os.path.ismount(goal):
            subprocess.run(["umount", goal], check=False)
end()
