#!/usr/bin/env python3
"""Makes the dump of a database as an older program wrote it: make.py PROGRAM SCHEMA > schema-N.sql

Runs that program's daemon against an API and receivers of its own on loopback, until there are
watches, transitions and deliveries in every state, then kills it without a word.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAM, SCHEMA = os.path.abspath(sys.argv[1]), int(sys.argv[2])
STATUS = {"a1": "TRAINING", "a2": "TRAINING", "a3": "TRAINING", "a4": "NOT_TRAINED", "a5": "IDLE"}
ANSWERS = {"/good": 200, "/broken": 500, "/refuses": 413}
OVER = threading.Event()


class Server(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            pass  # The daemon was killed.

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        if name not in STATUS:
            return self.answer(404, b'{"code": 404, "message": "Avatar not found"}')
        avatar = {"id": name, "name": f"avatar {name}", "status": STATUS[name], "model": "ARGIL_V1"}
        self.answer(200, json.dumps(avatar).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/hangs":
            OVER.wait()
            return
        self.answer(ANSWERS[self.path], b"as it is")


def config(port):
    def channel(name, more=""):
        return f"""
[channels.{name}]
type = "webhook"
url = "http://127.0.0.1:{port}/{name}"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
timeout = "2m"
retry_schedule = ["0s", "100ms", "24h"]
{more}
"""

    web = '[web]\nlisten = "off"\n' if SCHEMA >= 2 else ""
    operator = "operator = true" if SCHEMA >= 2 else ""
    avatars = "".join(f'[[avatars]]\nid = "{name}"\n' for name in [*STATUS, "a6"])
    wait = '"20ms"'
    return f"""
[argil]
api_key = "key"
base_url = "http://127.0.0.1:{port}/v1"
max_requests_per_second = 1000
[poll]
training = {{ min = {wait}, max = {wait} }}
not_trained = {wait}
settled = {wait}
missing = {wait}
{web}{avatars}{channel("good", operator)}{channel("broken")}{channel("refuses")}{channel("hangs")}"""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open(os.open("avatar-watch.toml", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(config(server.server_port))
        log = open("log", "w")
        daemon = subprocess.Popen([PROGRAM, "run"], stderr=log)
        try:
            fill()
        finally:
            daemon.kill()
            daemon.wait()
        dump()
    OVER.set()


def query(sql):
    for _ in range(1000):
        try:
            with sqlite3.connect("avatar-watch.db") as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            time.sleep(0.02)
    raise SystemExit(f"in vain: {sql}\n{open('log').read()}")


def wait_for(sql):
    for _ in range(1000):
        if query(sql)[0][0]:
            return
        time.sleep(0.02)
    raise SystemExit(f"waited in vain for {sql}\n{open('log').read()}")


def by_hand(*words):
    subprocess.run([PROGRAM, "deliveries", *words], check=True, stdout=subprocess.DEVNULL)


def fill():
    wait_for("SELECT count(*) >= 5 FROM transitions")
    for name, status in [("a1", "IDLE"), ("a2", "REFUSED"), ("a3", "TRAINING_FAILED")]:
        STATUS[name] = status
        wait_for(f"SELECT count(*) FROM transitions WHERE avatar_id = '{name}' AND to_status = '{status}'")
    in_state = "SELECT count(*) >= {} FROM deliveries WHERE channel_id = '{}' AND state = '{}'"
    wait_for(in_state.format(3, "good", "delivered"))
    wait_for(in_state.format(3, "refuses", "failed"))
    wait_for(in_state.format(3, "hangs", "sending"))
    wait_for("SELECT count(*) >= 3 FROM deliveries WHERE channel_id = 'broken' AND attempts >= 1")
    # News behind a delivery that is being sent, and one that came back.
    for status in ["TRAINING", "IDLE"]:
        STATUS["a1"] = status
        wait_for(f"SELECT status = '{status}' FROM watches WHERE avatar_id = 'a1'")
    wait_for(in_state.format(4, "good", "delivered"))
    dead = query("SELECT id FROM deliveries WHERE state = 'failed' ORDER BY seq")
    by_hand("retry", dead[0][0])
    wait_for("SELECT count(*) FROM deliveries WHERE replay = 1 AND state = 'failed'")
    waits = "SELECT id FROM deliveries WHERE channel_id = 'broken' AND state = 'pending' ORDER BY seq DESC"
    by_hand("cancel", query(waits)[0][0])
    if SCHEMA >= 2:
        wait_for("SELECT count(*) FROM conditions WHERE kind = 'avatar.missing'")


def dump():
    with sqlite3.connect("avatar-watch.db") as db:
        db.text_factory = str
        schema = db.execute("PRAGMA user_version").fetchone()[0]
        assert schema == SCHEMA, schema
        print(f"PRAGMA application_id = {db.execute('PRAGMA application_id').fetchone()[0]};")
        print(f"PRAGMA user_version = {schema};")
        for line in db.iterdump():
            print(line)


main()
