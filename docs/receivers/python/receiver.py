"""Receives the webhooks of avatar-watch: verifies, stores, answers, and processes afterwards.

A message gets 204 once it is in the table `inbox`. Its id is unique there, so a repeat gets 204 and
no second row. Messages are processed afterwards, from the table, each in one transaction that also
sets `done_at`. Whenever this program is killed, no message is lost, and none is processed twice.

Environment: WEBHOOK_SECRETS (`whsec_…`; several, separated by blanks, during a rotation), LISTEN
(127.0.0.1:8080), DATABASE (news.db).
"""

import json
import os
import sqlite3
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

HOOKS = [Webhook(secret) for secret in os.environ["WEBHOOK_SECRETS"].split()]
HOST, PORT = os.environ.get("LISTEN", "127.0.0.1:8080").rsplit(":", 1)
DATABASE = os.environ.get("DATABASE", "news.db")
BODY_MAX = 1 << 20
# Operators can send dead letters again for as long as avatar-watch keeps them, 90 days and more.
KEEP_IDS_S = 100 * 24 * 3600

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS inbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
  id TEXT NOT NULL UNIQUE,                -- the `webhook-id`
  body TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  done_at INTEGER);
CREATE INDEX IF NOT EXISTS undone ON inbox(seq) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS avatars(
  id TEXT PRIMARY KEY, status TEXT NOT NULL, sequence INTEGER NOT NULL, changes INTEGER NOT NULL);
"""
arrived = threading.Event()


def database():
    connection = sqlite3.connect(DATABASE, timeout=20, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")  # a message that got 204 survives a power loss
    return connection


def is_genuine(body, headers):
    """Whether the message is signed with one of the secrets, and at most five minutes old."""
    for hook in HOOKS:
        try:
            hook.verify(body, headers)
            return True
        except (WebhookVerificationError, ValueError):  # the latter for a malformed header
            pass
    return False


def keep(id, body):
    """Stores a message, unless it is a repeat."""
    with closing(database()) as db:
        db.execute(
            "INSERT INTO inbox(id, body, received_at) VALUES (?, ?, ?) ON CONFLICT(id) DO NOTHING",
            (id, body.decode(), int(time.time())),
        )


def handle(db, event):
    """Processes one event; replace it by your own code. Here: a table of the avatars' statuses."""
    # Unknown types and fields are no error.
    if event["type"].startswith("avatar.") and "sequence" in event["data"]:
        data = event["data"]
        db.execute(
            """INSERT INTO avatars(id, status, sequence, changes) VALUES (?, ?, ?, 1)
               ON CONFLICT(id) DO UPDATE SET
                 status = excluded.status, sequence = excluded.sequence, changes = changes + 1
               WHERE excluded.sequence > sequence""",  # an older event changes nothing
            (data["avatar"]["id"], data["status"], data["sequence"]),
        )
    else:
        print("not about a change of an avatar:", event["type"], flush=True)


def work(db):
    """Processes the stored messages, oldest first. A message that fails, and all after it, stay."""
    while row := db.execute(
        "SELECT seq, body FROM inbox WHERE done_at IS NULL ORDER BY seq LIMIT 1"
    ).fetchone():
        db.execute("BEGIN IMMEDIATE")
        try:
            handle(db, json.loads(row[1]))
            db.execute("UPDATE inbox SET done_at = ? WHERE seq = ?", (int(time.time()), row[0]))
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    db.execute("DELETE FROM inbox WHERE done_at < ?", (int(time.time()) - KEEP_IDS_S,))


def worker():
    with closing(database()) as db:
        while True:
            arrived.clear()
            try:
                work(db)
            except Exception as error:
                print("will try again:", error, flush=True)
            arrived.wait(timeout=10)


class Receiver(BaseHTTPRequestHandler):
    timeout = 20  # seconds for the next byte

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_MAX:
            return self.answer(413 if length.isdecimal() else 411)
        body = self.rfile.read(int(length))
        if not is_genuine(body, dict(self.headers)):
            return self.answer(401)
        try:
            keep(self.headers["webhook-id"], body)
        except sqlite3.Error as error:
            print("not stored:", error, flush=True)
            return self.answer(503)  # it will be retried
        self.answer(204)
        arrived.set()

    def answer(self, code):
        self.send_response(code)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with closing(database()) as db:
        db.executescript(SCHEMA)
    threading.Thread(target=worker, daemon=True).start()
    server = ThreadingHTTPServer((HOST, int(PORT)), Receiver)
    print(f"listening on {server.server_address[0]}:{server.server_port}", flush=True)
    server.serve_forever()
