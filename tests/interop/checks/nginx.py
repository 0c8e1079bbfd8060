"""The page behind nginx with common settings: the stream is not buffered, and access is checked."""

import http.client
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import LIMIT_S, child, claim, end, wait_for, work_folder
from stage import TOKEN, Stage

# Each is what a server block has beside `proxy_pass`.
WAYS = {
    "nothing but `proxy_pass`": "",
    "buffering on": "proxy_buffering on; proxy_buffers 8 64k;",
    "gzip for everything": "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;",
    "HTTP/1.0 to us": "proxy_http_version 1.0;",
    "HTTP/1.1 to us": 'proxy_http_version 1.1; proxy_set_header Connection "";',
    "a host without its port": "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;",
}


class Through(http.client.HTTPConnection):
    """A connection to nginx at a socket in the file system, so that it needs no port."""

    def __init__(self, path):
        super().__init__("localhost:8443", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(str(self.path))


def seconds_to(connection, stage, avatar, status):
    """The time until a change of status arrives through the stream."""
    headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {TOKEN}"}
    connection.request("GET", "/api/v1/stream", headers=headers)
    answer = connection.getresponse()
    unpacked = bytearray()
    if answer.status != 200:
        return None, answer
    unpack = plain
    if answer.getheader("content-encoding") == "gzip":
        import zlib

        unpack = zlib.decompressobj(wbits=31).decompress
    turned = threading.Timer(0.3, stage.turn, (avatar, status))
    begun = time.monotonic() + 0.3
    turned.start()
    while f'"{status}"'.encode() not in unpacked and time.monotonic() < begun + LIMIT_S:
        part = answer.read1(4096)
        if not part:
            break
        unpacked += unpack(part)
    turned.join()
    found = f'"{status}"'.encode() in unpacked
    return (time.monotonic() - begun if found else None), answer


def plain(part):
    return part


stage = Stage({"a1": ("Jane", "TRAINING")}, web='hosts = ["watch.example.com"]')
claim("a daemon with a page runs", stage.daemon.runs(), stage.daemon.said())
wait_for(lambda: ": baseline " in stage.daemon.said())
folder = work_folder()
servers = "".join(
    f"server {{ listen unix:{folder}/{at}.sock; location / {{ proxy_pass {stage.url}; {way} }} }}\n"
    for at, way in enumerate(WAYS.values())
)
(folder / "nginx.conf").write_text(
    f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
    f"events {{}}\nhttp {{ access_log off;\n"
    + "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    + servers
    + "}\n"
)
nginx = child(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
last = folder / f"{len(WAYS) - 1}.sock"
claim("nginx runs", wait_for(lambda: last.exists() or nginx.poll() is not None) and nginx.poll() is None)

statuses = ["IDLE", "TRAINING", "REFUSED"]
for at, name in enumerate(WAYS):
    took, answer = seconds_to(
        Through(folder / f"{at}.sock"), stage, "a1", statuses[at % len(statuses)]
    )
    claim(f"{name}: an event arrives at once", took is not None and took < 5, (took, answer.status))

# A browser that sends only `Origin`, with a port that is not the default one.
path = folder / f"{len(WAYS) - 1}.sock"
connection = Through(path)
connection.request(
    "POST",
    "/api/v1/channels/ops/test",
    headers={"Authorization": f"Bearer {TOKEN}", "Origin": "https://localhost:8443"},
)
answer = connection.getresponse()
claim("a button works there", answer.status == 200, (answer.status, answer.read()))
connection = Through(path)
connection.request(
    "POST",
    "/api/v1/channels/ops/test",
    headers={"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example:8443"},
)
answer = connection.getresponse()
claim("… and not from another origin", answer.status == 403, (answer.status, answer.read()))
for method, place in (("POST", "/metrics"), ("DELETE", "/api/v1/status")):
    connection = Through(path)
    connection.request(method, place)
    answer = connection.getresponse()
    allowed = answer.getheader("allow", "")
    claim(f"{method} {place} is 405, with the allowed methods", (answer.status, "GET" in allowed) == (405, True), (answer.status, allowed))
# Whichever headers nginx omits, reading requires the token, since the config names hosts.
for at, name in enumerate(WAYS):
    for place in ("/", "/api/v1/status", "/metrics", "/api/v1/stream"):
        connection = Through(folder / f"{at}.sock")
        connection.request("GET", place)
        answer = connection.getresponse()
        claim(f"{name}: {place} requires the token", answer.status == 401, answer.status)

# Without `hosts`, the headers of nginx decide.
open_stage = Stage({"a1": ("Jane", "TRAINING")})
claim("a daemon without `hosts` runs", open_stage.daemon.runs(), open_stage.daemon.said())
config = (folder / "nginx.conf").read_text().replace(stage.url, open_stage.url)
nginx.terminate()
nginx.wait()
for at in range(len(WAYS)):
    (folder / f"{at}.sock").unlink(missing_ok=True)
(folder / "nginx.conf").write_text(config)
nginx = child(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
claim("nginx runs again", wait_for(lambda: last.exists() or nginx.poll() is not None) and nginx.poll() is None)
# The others depend on the HTTP version that nginx uses by default.
WITHOUT_HOSTS = {
    "HTTP/1.0 to us": 401,
    "a host without its port": 401,
    # It sends the headers of a local program: `docs/page.md` warns of it.
    "HTTP/1.1 to us": 200,
}
for at, name in enumerate(WAYS):
    if name in WITHOUT_HOSTS:
        connection = Through(folder / f"{at}.sock")
        connection.request("GET", "/")
        status = connection.getresponse().status
        expected = WITHOUT_HOSTS[name]
        claim(f"{name}: reading without `hosts` is {expected}", status == expected, status)
end()
