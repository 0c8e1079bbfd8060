"""systemd's journal, alone in a mount namespace: the entries that it gets from the daemon.

The daemon's standard error is a stream of the journal, made as systemd makes it for a service.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
JOURNALD = "/lib/systemd/systemd-journald"
INSIDE = "AVATAR_WATCH_IN_NAMESPACE"

if not os.path.exists(JOURNALD) or not shutil.which("journalctl"):
    print("FAIL there is a systemd-journald to ask")
    sys.exit(1)
if INSIDE not in os.environ:
    # With its own /run, so that the journal of the machine is unchanged.
    own_run = 'mount -t tmpfs none /run && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", own_run, "sh", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode)

from ground import BINARY, child, claim, end, wait_for, work_folder

ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
# Nothing listens at port 9 of this machine, so polling fails at once.
CONFIG = f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:9/v1"
[poll]
backoff = {{ initial = "50ms", max = "50ms", multiplier = 1.0, jitter = 0.0 }}
[[avatars]]
id = "{ID}"
"""
os.makedirs("/run/log/journal")
os.makedirs("/run/systemd/journal")
journald = child([JOURNALD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
claim("the journal listens", wait_for(lambda: os.path.exists("/run/systemd/journal/stdout")))


def entries(*matches):
    """The matching entries of the journal."""
    command = ["journalctl", "--directory=/run/log/journal", "-o", "json", *matches]
    output = subprocess.run(command, capture_output=True, text=True)
    return [json.loads(line) for line in output.stdout.splitlines()]


def stream():
    """A stream into the journal, with priorities before lines, as a service has it."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.connect("/run/systemd/journal/stdout")
    end.sendall(b"streamed\n\n6\n1\n0\n0\n0\n")
    return end


def start(*arguments):
    """The daemon in a folder of its own, and its log."""
    folder, log = work_folder(), stream()
    (folder / "avatar-watch.toml").write_text(CONFIG, "utf-8")
    place = os.fstat(log.fileno())
    env = {"ARGIL_API_KEY": "k", "JOURNAL_STREAM": f"{place.st_dev}:{place.st_ino}"}
    return child([BINARY, "run", *arguments], cwd=folder, env=env, stderr=log)


start()
lost = wait_for(lambda: entries(f"AVATAR_ID={ID}", "FAILURE=failed"))
claim("a failing avatar is found by AVATAR_ID and FAILURE", len(lost) == 1, lost)
entry = lost[0] if lost else {}
claim("… with a sentence", "polling avatar" in entry.get("MESSAGE", ""), entry)
claim("… as a warning", entry.get("PRIORITY") == "4", entry)
claim("… of `avatar-watch`", entry.get("SYSLOG_IDENTIFIER") == "avatar-watch", entry)
claim("… as an entry, not as a line", entry.get("_TRANSPORT") == "journal", entry)
found = entries(f"REQUEST_ID={entry.get('REQUEST_ID')}")
claim("… and by its REQUEST_ID, with nothing else", found == lost, found)
claim("the stream has no lines", entries("_TRANSPORT=stdout") == [])

start("--log-format", "json")
streamed = wait_for(lambda: [it for it in entries("_TRANSPORT=stdout", "PRIORITY=4")
                             if "polling avatar" in it["MESSAGE"]])
claim("JSON goes through the stream, with its priority", len(streamed) == 1, streamed)
line = json.loads(streamed[0]["MESSAGE"]) if streamed else {}
claim("… and is an object with fields", line.get("avatar.id") == ID, line)
end()
