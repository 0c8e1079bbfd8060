"""The exit status of `run`, by which systemd decides whether to restart."""

import signal
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import LIMIT_S, Daemon, claim, command, end, work_folder

CONFIG = """
[argil]
api_key = { env = "ARGIL_API_KEY" }
base_url = "http://127.0.0.1:9/v1"
[[avatars]]
id = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
"""


def run_in(folder, config=CONFIG):
    """Runs the daemon, which should end by itself."""
    file = folder / "avatar-watch.toml"
    file.write_text(config, "utf-8")
    return command("run", "--config", file)


def ends_with(text, ended, status, *words):
    claim(f"{text}: {status}", ended.returncode == status, (ended.returncode, ended.stderr))
    for word in words:
        claim(f"… and prints `{word}`", word in ended.stderr, ended.stderr)


ends_with("a bad config", run_in(work_folder(), CONFIG.replace("api_key", "apikey")), 78, "api_key")
ends_with("no config at all", command("run", "--config", work_folder() / "none.toml"), 78)

folder = work_folder()
daemon = Daemon(folder, CONFIG)
claim("a daemon runs", daemon.runs(), daemon.said())
pid = str(daemon.process.pid)
ends_with("a second daemon on its database", run_in(folder), 75, pid, "avatar-watch.db")
claim("… and the first one continues", daemon.process.poll() is None, daemon.said())
claim("SIGTERM: 0", daemon.stop() == 0, daemon.said())
daemon.log.write_text("")
daemon.start()
claim("the lock ends with the process: the daemon starts again", daemon.runs(), daemon.said())
daemon.process.send_signal(signal.SIGINT)
claim("SIGINT: 0", daemon.process.wait(timeout=LIMIT_S) == 0, daemon.said())

database = sqlite3.connect(daemon.database)
database.execute("PRAGMA user_version = 999")
database.commit()
database.close()
before = daemon.database.read_bytes()
ends_with("a database of a newer program", run_in(folder), 65, "999")
claim("… which is unchanged", daemon.database.read_bytes() == before)

folder = work_folder()
junk = b"This is no database. " * 1000
(folder / "avatar-watch.db").write_bytes(junk)
ends_with("a junk database", run_in(folder), 65, "avatar-watch.db")
claim("… which is unchanged", (folder / "avatar-watch.db").read_bytes() == junk)

folder = work_folder()
foreign = sqlite3.connect(folder / "avatar-watch.db")
foreign.execute("CREATE TABLE recipes(name TEXT)")
foreign.commit()
foreign.close()
before = (folder / "avatar-watch.db").read_bytes()
ends_with("a database of another program", run_in(folder), 65, "avatar-watch.db")
claim("… which is unchanged", (folder / "avatar-watch.db").read_bytes() == before)
end()
