"""The base of the checks: claims, waits, and the daemon as a child process.

A claim is one line, `ok …` or `FAIL …`; `run` counts them. A wait polls for a fact until a limit; a
fact that does not become true is a failed claim.
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
    """Prints whether the claim `text` holds; `detail` explains a failure."""
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
    """Calls `fact` until it is true, and returns its last result."""
    until = time.monotonic() + limit_s
    while not (found := fact()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def work_folder():
    """A new folder that is removed when the check ends."""
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
    # After the processes, which write there.
    for folder in _folders:
        folder.cleanup()


atexit.register(_clean_up)
# Without this, SIGTERM would skip the clean-up.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def environment(**extra):
    """The environment, without variables that change the settings of the daemon."""
    steering = ("AVATAR_WATCH_", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | {"ARGIL_API_KEY": KEY, "NO_COLOR": "1"} | extra


def command(*arguments, **extra):
    """Runs the program to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class Daemon:
    """`avatar-watch run` in a folder, with a config."""

    def __init__(self, folder, config, **extra):
        self.folder = folder
        self.config = folder / "avatar-watch.toml"
        self.config.write_text(config, encoding="utf-8")
        self.config.chmod(0o600)
        self.database = folder / "avatar-watch.db"
        self.log = folder / "daemon.log"
        self.extra = extra
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = child(
                [BINARY, "run", "--config", str(self.config)],
                env=environment(**self.extra),
                stderr=log,
                stdout=log,
            )

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def runs(self):
        """Whether its loops run."""
        return wait_for(lambda: "watching " in self.said() or self.process.poll() is not None) and (
            self.process.poll() is None
        )

    def stop(self):
        """Stops it; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=LIMIT_S)

    def rows(self, query, *values):
        """Queries its database, with the SQLite of Python."""
        if not self.database.exists():
            return []
        try:
            database = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
            try:
                return database.execute(query, values).fetchall()
            finally:
                database.close()
        except sqlite3.OperationalError:
            # The daemon is still creating its tables.
            return []

    def status(self):
        """The avatars of `status --json`, by their ids."""
        shown = command("status", "--json", "--config", self.config)
        if shown.returncode != 0:
            return {}
        return {avatar["id"]: avatar for avatar in json.loads(shown.stdout)["avatars"]}
