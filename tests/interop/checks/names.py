"""Name resolution in a network namespace: a first name server that does not respond, none that does,
a name with an address that has no route, and one with several addresses that accept no connection.

The resolver is the system's own; the name server is Python's sockets.
"""

import ipaddress
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
INSIDE = "AVATAR_WATCH_IN_NAMESPACE"

if INSIDE not in os.environ:
    # With its own files in /etc, so that the resolver of the machine is unchanged.
    own = 'ip link set lo up; exec "$@"'
    command = ["unshare", "--mount", "--net", "sh", "-c", own, "sh", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode)

import json

from ground import BINARY, child, claim, end, environment, work_folder
from servers import Quiet, serve

ADDRESSES = {
    "api.localhost": ["127.0.0.2"],
    "both.localhost": ["127.0.0.2", "2001:db8::25"],
    "many.localhost": ["127.0.0.31", "127.0.0.32", "127.0.0.33", "127.0.0.2"],
}
SILENT = "127.0.0.9"
ground = work_folder()


def put(path, text):
    """Replaces the file at that path, in this namespace."""
    file = ground / path.strip("/").replace("/", "-")
    file.write_text(text, encoding="utf-8")
    if not os.path.ismount(path):
        subprocess.run(["mount", "--bind", str(file), path], check=True)


def resolve_by(*servers):
    lines = [f"nameserver {server}\n" for server in servers]
    # The inode stays, since it is mounted.
    put("/etc/resolv.conf", "".join(lines) + "options timeout:2 attempts:1\n")


def answer(query):
    """The response of the name server: A and AAAA of the table, else NXDOMAIN."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    known = ADDRESSES.get(".".join(labels).lower())
    found = [ipaddress.ip_address(it) for it in known or []]
    found = [it for it in found if it.version == {1: 4, 28: 6}.get(kind)]
    flags = 0x8180 if known else 0x8183
    said = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12 : at + 5]
    for it in found:
        said += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(it.packed)) + it.packed
    return said


def name_server():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve_names():
        while True:
            query, peer = server.recvfrom(2048)
            server.sendto(answer(query), peer)

    threading.Thread(target=serve_names, daemon=True).start()


def dead(address, port):
    """A port that neither accepts nor refuses connections: its queue is full."""
    full = socket.socket()
    full.bind((address, port))
    full.listen(0)
    kept = [full]
    for _ in range(3):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex((address, port))
        kept.append(caller)
    return kept


class Api(Quiet):
    def do_GET(self):
        id = self.path.rsplit("/", 1)[-1]
        self.answer(200, json.dumps({"id": id, "status": "TRAINING"}).encode())


def run(*arguments, signal_after=None, **extra):
    """Runs the program; returns its exit status, its output and its duration."""
    begun = time.monotonic()
    process = child(
        [BINARY, *map(str, arguments)],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if signal_after is not None:
        time.sleep(signal_after)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    return process.returncode, said, time.monotonic() - begun


put("/etc/nsswitch.conf", "hosts: files dns\n")
put("/etc/hosts", "127.0.0.1 localhost\n")
name_server()
quiet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
quiet.bind((SILENT, 53))
api = serve(ThreadingHTTPServer(("127.0.0.2", 0), Api))
port = api.server_port
free = socket.socket()
free.bind(("127.0.0.2", 0))
refusing = free.getsockname()[1]
base = f"http://api.localhost:{port}/v1"
config = ground / "config.toml"
config.write_text(f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "{base}"
[web]
listen = "off"
[[avatars]]
id = "a1"
[channels.both]
type = "email"
from = "a@example.com"
to = ["b@example.com"]
smtp = {{ host = "both.localhost", port = {refusing}, tls = "none" }}
[channels.hook]
type = "webhook"
url = "http://both.localhost:{refusing}/"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
[channels.many]
type = "webhook"
url = "http://many.localhost:{port}/"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
""", encoding="utf-8")

config.chmod(0o600)
resolve_by("127.0.0.1")
closed = [dead(f"127.0.0.{number}", port) for number in (31, 32, 33)]
_, said, took = run("check", "--online", "--config", config)
claim("the avatar is observed", "ok   avatar `a1`: status TRAINING" in said, said)
refused = "failed at `connect`: `both.localhost` refused the connection"
for channel in ("both", "hook"):
    claim(f"{channel}: the error is that of the address with a route",
          f"FAIL channel `{channel}`: {refused}" in said, said)
claim("the one of four addresses that accepts is reached", "ok   channel `many`" in said, said)
claim("… within seconds", took < 5, took)

resolve_by(SILENT, "127.0.0.1")
_, said, took = run("check", "--online", "--config", config)
claim("a first name server without response delays the poll, and does not fail it",
      "ok   avatar `a1`: status TRAINING" in said, said)
code, said, took = run("wait", "a1", "--timeout", "10s", ARGIL_BASE_URL=base)
claim("`wait` observes it too", code == 5 and "is TRAINING" in said, said)

resolve_by(SILENT, "127.0.0.10")
code, said, took = run("wait", "a1", "--timeout", "1s", ARGIL_BASE_URL=base)
claim("`wait --timeout 1s` ends in time during a DNS query without response", code == 5 and took < 2.5,
      (code, took, said))
code, said, took = run("wait", "a1", signal_after=0.5, ARGIL_BASE_URL=base)
claim("SIGTERM ends it at once", code == 143 and took < 1.5, (code, took, said))
code, said, took = run("run", "--config", config, signal_after=1)
claim("SIGTERM ends the daemon", code == 0 and took < 4, (code, took, said))
_, said, took = run("check", "--online", "--config", config)
claim("the error names the name servers",
      "cannot resolve" in said and "name server" in said and "/etc/resolv.conf" in said, said)
end()
