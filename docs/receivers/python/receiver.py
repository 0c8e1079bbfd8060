"""Receives the webhooks of avatar-watch: verifies, keeps, answers, and only then works.

A message is answered 204 once it is in the table `inbox`, under its id, which is unique: a repeat
finds its row there and is answered just the same. The work is done afterwards, from the table, in
one transaction with the mark that it is done. So whenever this program is killed, nothing is lost
and nothing is done twice.

Environment: WEBHOOK_SECRETS (`whsec_…`; several, with blanks between them, while one replaces the
other), LISTEN (127.0.0.1:8080), DATABASE (news.db).
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
# Repeats come for about 76 hours; what an operator sends again can be 90 days old.
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
    connection.execute("PRAGMA synchronous = FULL")  # what was answered 204 survives a power cut
    return connection


def is_genuine(body, headers):
    """Whether it was signed with one of our secrets, within five minutes of now."""
    for hook in HOOKS:
        try:
            hook.verify(body, headers)
            return True
        except (WebhookVerificationError, ValueError):  # the latter for a malformed header
            pass
    return False


def keep(id, body):
    """Puts a message into the inbox, if it is not there yet."""
    with closing(database()) as db:
        db.execute(
            "INSERT INTO inbox(id, body, received_at) VALUES (?, ?, ?) ON CONFLICT(id) DO NOTHING",
            (id, body.decode(), int(time.time())),
        )


def handle(db, event):
    """The work: here, a table of what each avatar is. All it writes is one transaction."""
    # Types and fields that are new to us are no error.
    if event["type"].startswith("avatar.") and "sequence" in event["data"]:
        data = event["data"]
        db.execute(
            """INSERT INTO avatars(id, status, sequence, changes) VALUES (?, ?, ?, 1)
               ON CONFLICT(id) DO UPDATE SET
                 status = excluded.status, sequence = excluded.sequence, changes = changes + 1
               WHERE excluded.sequence > sequence""",  # older news changes nothing
            (data["avatar"]["id"], data["status"], data["sequence"]),
        )
    else:
        print("not about a change of an avatar:", event["type"], flush=True)


def work(db):
    """Does what is undone, oldest first. What fails stays, and so does all behind it."""
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
            print("not kept:", error, flush=True)
            return self.answer(503)  # it comes again
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
