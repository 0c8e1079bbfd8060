"""The ground that the checks stand on: claims, waits, and the daemon as a child process.

A claim is one line, `ok …` or `FAIL …`; `run` counts them. Nothing here sleeps and hopes: a
wait polls for a fact until a limit, and a fact that does not come is a failed claim.
"""

import atexit
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BINARY = os.environ["AVATAR_WATCH_BIN"]
LIMIT_S = 30.0
KEY = "interop-key"

_failed = 0
_children = []
_folders = []


def claim(text, holds, detail=""):
    """Prints whether what `text` says is so; `detail` explains a failure."""
    global _failed
    if holds:
        print(f"ok   {text}", flush=True)
    else:
        _failed += 1
        print(f"FAIL {text}", flush=True)
        if detail != "":
            print(f"     {detail}".replace("\n", "\n     "), flush=True)
    return bool(holds)


def end():
    """Ends the check: 0 when every claim held."""
    sys.exit(1 if _failed else 0)


def wait_for(fact, limit_s=LIMIT_S):
    """Asks until `fact()` is true, and gives what it gave last."""
    until = time.monotonic() + limit_s
    while not (found := fact()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def work_folder():
    """A fresh folder that is gone when the check ends."""
    folder = tempfile.TemporaryDirectory(prefix="avatar-watch-", ignore_cleanup_errors=True)
    _folders.append(folder)
    return Path(folder.name)


def child(arguments, **options):
    """Starts a process that is ended, by its id, when the check ends."""
    process = subprocess.Popen(arguments, **options)
    _children.append(process)
    return process


def _clean_up():
    for process in _children:
        if process.poll() is None:
            process.kill()
            process.wait()
    # Only now, since they write there.
    for folder in _folders:
        folder.cleanup()


atexit.register(_clean_up)
# Without this a SIGTERM would skip what was registered above.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def surroundings(**extra):
    """Our environment, without what would steer the daemon elsewhere."""
    steering = ("AVATAR_WATCH_", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | {"ARGIL_API_KEY": KEY, "NO_COLOR": "1"} | extra


def command(*arguments, **extra):
    """Runs the program to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        env=surroundings(**extra),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class Daemon:
    """`avatar-watch run` in a folder, with the config that is given."""

    def __init__(self, folder, config, **extra):
        self.folder = folder
        self.config = folder / "avatar-watch.toml"
        self.config.write_text(config, encoding="utf-8")
        self.database = folder / "avatar-watch.db"
        self.log = folder / "daemon.log"
        self.extra = extra
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = child(
                [BINARY, "run", "--config", str(self.config)],
                env=surroundings(**self.extra),
                stderr=log,
                stdout=log,
            )

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def runs(self):
        """Whether it got as far as its loops."""
        return wait_for(lambda: "watching " in self.said() or self.process.poll() is not None) and (
            self.process.poll() is None
        )

    def stop(self):
        """Asks it to stop; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=LIMIT_S)

    def rows(self, query, *values):
        """Asks its database, with a SQLite that is not its own."""
        if not self.database.exists():
            return []
        try:
            database = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
            try:
                return database.execute(query, values).fetchall()
            finally:
                database.close()
        except sqlite3.OperationalError:
            # The daemon is still making its tables.
            return []

    def status(self):
        """What `status --json` says: each avatar by its id."""
        shown = command("status", "--json", "--config", self.config)
        if shown.returncode != 0:
            return {}
        return {avatar["id"]: avatar for avatar in json.loads(shown.stdout)["avatars"]}
