"""The receivers of docs/receivers, run against the program and killed during its messages.

The messages are written to `receivers.json` in the folder of the first argument.
"""

import http.client
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import HERE, KEY, LIMIT_S, Daemon, child, claim, command, end, wait_for, work_folder
from servers import Quiet, serve
from standardwebhooks import Webhook

ROOT = HERE.parent.parent
RECEIVERS = ROOT / "docs" / "receivers"
NODE = Path(os.environ["INTEROP_NODE"])
SCRIPT = ["TRAINING", "IDLE", "NOT_TRAINED", "TRAINING", "REFUSED", "TRAINING", "SOMETHING_NEW",
          "TRAINING", "TRAINING_FAILED", "TRAINING", "IDLE"]
AVATARS = [f"avatar-{number}" for number in range(6)]
KILLS = 5
PATH = "/hooks/avatars"
# The ids of messages that the check itself sends.
MANUAL = "evt_manual"


class Argil(ThreadingHTTPServer):
    """The API: after the start, every avatar goes through the script, one step every second poll."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ArgilHandler)
        self.polls = dict.fromkeys(AVATARS, 0)
        self.goes_on = False


class ArgilHandler(Quiet):
    def do_GET(self):
        id = self.path.removeprefix("/v1/avatars/")
        if self.headers["x-api-key"] != KEY or id not in self.server.polls:
            return self.answer(404, b"{}")
        step = min(self.server.polls[id] // 2, len(SCRIPT) - 1)
        if self.server.goes_on:
            self.server.polls[id] += 1
        avatar = {"id": id, "name": "Åsa \"<&>\" 👩‍🚀", "status": SCRIPT[step]}
        self.answer(200, json.dumps(avatar).encode())


class Receiver:
    """One of the receivers as a child process, with a database that outlives it."""

    def __init__(self, name, arguments, folder, secrets):
        self.name, self.arguments, self.folder, self.secrets = name, arguments, folder, secrets
        self.database = folder / f"{name}.db"
        self.kills = 0
        self.start()

    def start(self):
        log = self.log = self.folder / f"{self.name}.{self.kills}.log"
        settings = {"WEBHOOK_SECRETS": " ".join(self.secrets), "LISTEN": "127.0.0.1:0",
                    "DATABASE": str(self.database)}
        with log.open("wb") as out:
            self.process = child(self.arguments, env=os.environ | settings, stdout=out, stderr=out)
        said = wait_for(lambda: re.search(rb"listening on .*:(\d+)\n", log.read_bytes()))
        if not said:
            raise RuntimeError(f"{self.name} does not listen: {log.read_text()}")
        self.port = int(said[1])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def rows(self, query):
        with closing(sqlite3.connect(self.database, timeout=20)) as database:
            rows = database.execute(query).fetchall()
            database.commit()
            return rows

    def inbox(self):
        return self.rows("SELECT id, body FROM inbox ORDER BY seq")

    def is_done(self):
        return self.rows("SELECT count(*) FROM inbox WHERE done_at IS NULL") == [(0,)]

    def post(self, body, headers, timeout=20):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with closing(connection):
            # A receiver may reject a large body before it has read it all, and close. Its response has
            # then arrived, although the rest of the body could not be sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    "POST", PATH, body, headers | {"content-type": "application/json"})
            return connection.getresponse().status


class Front(ThreadingHTTPServer):
    """A proxy before a receiver: records requests, and drops the first 204."""

    def __init__(self, receiver):
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.receiver = receiver
        self.kept = []
        self.lost = None
        self.lock = threading.Lock()


class FrontHandler(Quiet):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        code = self.pass_on(body, headers)
        kept = {"headers": headers, "body": body.decode(), "answered": code}
        with self.server.lock:
            loses = code == 204 and self.server.lost is None
            if loses:
                self.server.lost = kept
            self.server.kept.append(kept)
        self.answer(500 if loses else code or 502)

    def pass_on(self, body, headers):
        """The response of the receiver; None if it was killed. Waits while it is down."""
        signed = {name: value for name, value in headers.items() if name.startswith("webhook-")}
        until = time.monotonic() + LIMIT_S / 2
        while time.monotonic() < until:
            try:
                return self.server.receiver.post(body, signed)
            except ConnectionRefusedError:
                time.sleep(0.02)
            except (OSError, http.client.HTTPException):
                return None
        return None


def built():
    """The receiver in Rust."""
    build = subprocess.run(
        ["cargo", "build", "--locked", "--target-dir", ROOT / "target",
         "--manifest-path", RECEIVERS / "rust" / "Cargo.toml"],
        capture_output=True, text=True, check=False)
    claim("the receiver in Rust builds", build.returncode == 0, build.stderr)
    return ROOT / "target" / "debug" / "avatar-news"


def node_script(folder):
    """The receiver for Node, beside the library that it imports."""
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    script = folder / "receiver.mjs"
    script.write_bytes((RECEIVERS / "node" / "receiver.mjs").read_bytes())
    return script


def signed(secret, id, body, time=None):
    time = time or datetime.now(timezone.utc)
    signature = Webhook(secret).sign(id, time, body)
    return {"webhook-id": id, "webhook-timestamp": str(int(time.timestamp())),
            "webhook-signature": signature}


def check_refusals(receiver, secret, stranger):
    """A forged message gets 401 and leaves no row, a genuine one 204 and one row."""
    name = receiver.name
    body = json.dumps({"type": "order.lost", "timestamp": "…", "data": {"added": ["later", "é"]}})
    good = signed(secret, MANUAL, body)
    now = datetime.now(timezone.utc)
    token = good["webhook-signature"]

    def refused(what, body, headers, code=401):
        answered = receiver.post(body.encode(), headers)
        claim(f"{name}: {what} gets {code}", answered == code, answered)

    refused("another secret", body, signed(stranger, "evt_a", body))
    refused("a changed body", body.replace("lost", "kept"), good)
    refused("another id", body, good | {"webhook-id": "evt_b"})
    refused("a time 301 s ago", body,
            signed(secret, "evt_c", body, now - timedelta(seconds=301)))
    refused("a time 330 s ahead", body,
            signed(secret, "evt_d", body, now + timedelta(seconds=330)))
    refused("an old message with a fresh timestamp", body, good | {"webhook-timestamp": "1"})
    refused("a message without a signature", body,
            {key: value for key, value in good.items() if key != "webhook-signature"})
    refused("a message without an id", body,
            {key: value for key, value in good.items() if key != "webhook-id"})
    for odd in ("", "v1", f"v1,{token[3:-4]}AAA=", "v1,a,b", "v1a," + token[3:], "  "):
        refused(f"the signature `{odd}`", body, good | {"webhook-signature": odd})
    refused("a body of 2 MiB", "x" * (2 << 20), good, 413)
    claim(f"{name}: none of these left a row", receiver.inbox() == [], receiver.inbox())

    again = [receiver.post(body.encode(), headers) for headers in (
        good, good, signed(secret, MANUAL, body, now - timedelta(seconds=200)))]
    claim(f"{name}: a message and its repeats get 204", again == [204] * 3, again)
    claim(f"{name}: they are one row", receiver.inbox() == [(MANUAL, body)], receiver.inbox())
    claim(f"{name}: an event of an unknown type is finished", wait_for(receiver.is_done))


def check_failing_work(receiver, secret):
    """While processing fails, the message is kept and not finished."""
    name = receiver.name

    def delivered_rows(id, kind, status):
        body = json.dumps({"type": kind, "timestamp": "…", "data": {
            "sequence": 2, "avatar": {"id": "manual"}, "status": status}})
        return receiver.post(body.encode(), signed(secret, f"{MANUAL}_{id}", body))

    undone = "SELECT id FROM inbox WHERE done_at IS NULL ORDER BY seq"
    receiver.rows("ALTER TABLE avatars RENAME TO hidden")
    answered = delivered_rows("1", "avatar.ready", "IDLE")
    failed = wait_for(lambda: b"will try again" in receiver.log.read_bytes())
    claim(f"{name}: a message gets 204 and stays while its processing fails",
          failed and answered == 204 and receiver.rows(undone) == [(f"{MANUAL}_1",)],
          f"{answered} {receiver.rows(undone)}")
    receiver.rows("ALTER TABLE hidden RENAME TO avatars")
    delivered_rows("2", "order.lost", "")
    claim(f"{name}: … and is finished when the processing succeeds", wait_for(receiver.is_done))
    rows = receiver.rows("SELECT status, changes FROM avatars WHERE id = 'manual'")
    claim(f"{name}: … once", rows == [("IDLE", 1)], rows)


def kill_now_and_then(receiver, dice, is_over):
    while receiver.kills < KILLS:
        time.sleep(dice.uniform(0.0, 0.4))
        # All messages may arrive sooner; then the remaining kills happen during the processing.
        receiver.interrupted += not is_over()
        receiver.kill()
        receiver.start()


def config(argil, fronts):
    avatars = "".join(f'[[avatars]]\nid = "{id}"\n' for id in AVATARS)
    channels = "".join(f"""
[channels.{front.receiver.name}]
type = "webhook"
url = "http://127.0.0.1:{front.server_port}{PATH}"
secret = [{{ env = "NEW_SECRET" }}, {{ env = "OLD_SECRET" }}]
events = ["avatar.ready", "avatar.training_failed", "avatar.refused", "avatar.status_changed"]
retry_schedule = ["0s", "50ms", "50ms", "100ms", "100ms", "200ms", "500ms", "1s", "1s", "1s"]
""" for front in fronts)
    return f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{argil.server_port}/v1"
max_requests_per_second = 1000
[poll]
training = {{ min = "50ms", max = "50ms" }}
not_trained = "50ms"
settled = "50ms"
{avatars}
{channels}
"""


ground = work_folder()
old, new, stranger = (command("secret").stdout.strip() for _ in range(3))
rust = built()
node = os.environ["INTEROP_NODE_BIN"]
# During a rotation: one has the old secret, one the new one, one has both.
receivers = [
    Receiver("python", [sys.executable, RECEIVERS / "python" / "receiver.py"], ground, [old]),
    Receiver("node", [node, node_script(ground)], ground, [new]),
    Receiver("rust", [rust], ground, [new, old]),
]
for receiver in receivers:
    for secret in receiver.secrets:
        receiver.kill()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{receiver.database}{suffix}").unlink(missing_ok=True)
        receiver.start()
        check_refusals(receiver, secret, stranger)

fronts = [serve(Front(receiver)) for receiver in receivers]
argil = serve(Argil())
daemon = Daemon(ground, config(argil, fronts), NEW_SECRET=new, OLD_SECRET=old)
first = "SELECT count(*) FROM watches WHERE status = 'TRAINING'"
claim("all avatars are observed in training", wait_for(lambda: daemon.rows(first) == [(len(AVATARS),)]),
      daemon.said())
wanted = len(AVATARS) * (len(SCRIPT) - 1)
seed = random.SystemRandom().randrange(1 << 32)
print(f"the seed of the kills is {seed}")
delivered_rows = "SELECT count(*) FROM deliveries WHERE channel_id = ? AND state = 'delivered'"
killers = []
for number, receiver in enumerate(receivers):
    receiver.kills = receiver.interrupted = 0
    is_over = lambda name=receiver.name: daemon.rows(delivered_rows, name) == [(wanted,)]
    arguments = (receiver, random.Random(seed + number), is_over)
    killers.append(threading.Thread(target=kill_now_and_then, args=arguments, daemon=True))
argil.goes_on = True
for killer in killers:
    killer.start()
for killer in killers:
    killer.join()

ids = lambda: {id for (id,) in daemon.rows("SELECT id FROM events WHERE avatar_seq IS NOT NULL")}
for receiver, front in zip(receivers, fronts):
    name = receiver.name
    delivered = wait_for(lambda: daemon.rows(delivered_rows, name) == [(wanted,)], limit_s=60)
    claim(f"{name}: all {wanted} events are delivered", delivered,
          f"{daemon.rows(delivered_rows, name)}\n{daemon.said()[-3000:]}")
    claim(f"{name}: it was killed {KILLS} times, and during events at least once",
          receiver.kills == KILLS and receiver.interrupted > 0, (receiver.kills, receiver.interrupted))
    claim(f"{name}: all messages are finished", wait_for(receiver.is_done))
    inbox = [(id, json.loads(body)) for id, body in receiver.inbox() if not id.startswith(MANUAL)]
    once = len(inbox) == wanted and {id for id, _ in inbox} == ids()
    claim(f"{name}: every event was received once", once, len(inbox))
    order = {id: [] for id in AVATARS}
    for _, event in inbox:
        order[event["data"]["avatar"]["id"]].append(event["data"]["sequence"])
    straight = list(range(2, len(SCRIPT) + 1))
    claim(f"{name}: in order for each avatar", all(it == straight for it in order.values()), order)
    changes = receiver.rows("SELECT id, status, sequence, changes FROM avatars ORDER BY id")
    expected = [(id, SCRIPT[-1], len(SCRIPT), len(SCRIPT) - 1) for id in AVATARS]
    claim(f"{name}: each was processed once", changes == expected, changes)

    came = {}
    for kept in front.kept:
        came.setdefault(kept["headers"]["webhook-id"], []).append(kept)
    lost = front.lost
    repeats = came[lost["headers"]["webhook-id"]]
    claim(f"{name}: the message with a lost response arrived again, and got 204 both times",
          lost["answered"] == 204 and len(repeats) >= 2 and repeats[-1]["answered"] == 204,
          [kept["answered"] for kept in repeats])
    claim(f"{name}: repeats have the same bytes",
          all(len({kept["body"] for kept in group}) == 1 for group in came.values()))
    answers = {kept["answered"] for kept in front.kept} - {None}
    claim(f"{name}: every response was 204", answers == {204}, answers)

for receiver in receivers:
    tried = command("test", receiver.name, "--config", daemon.config, NEW_SECRET=new, OLD_SECRET=old)
    claim(f"{receiver.name}: `avatar-watch test` succeeds", tried.returncode == 0,
          tried.stdout + tried.stderr)
    kinds = [json.loads(body)["type"] for _, body in receiver.inbox()]
    claim(f"{receiver.name}: … and the receiver accepted the test", kinds[-1] == "test.ping", kinds[-3:])
for receiver in receivers:
    check_failing_work(receiver, receiver.secrets[0])
claim("SIGTERM ends the daemon with 0", daemon.stop() == 0, daemon.said())
kept = [row for receiver in receivers for row in receiver.inbox()]
bodies = [body for id, body in kept if not id.startswith(MANUAL)]
(Path(sys.argv[1]) / "receivers.json").write_text(json.dumps(bodies), encoding="utf-8")
end()
