"""The proxies of the docs: each example is run unchanged, except for names and ports."""

import http.client
import json
import re
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import HERE, LIMIT_S, child, claim, end, wait_for, work_folder
from stage import HINT_TOKEN, TOKEN, Stage

NAME = "watch.example.com"
EVERY = {"Authorization": f"Bearer {TOKEN}"}


class Through(http.client.HTTPConnection):
    """A connection to a proxy at a socket in the file system, so that it needs no port."""

    def __init__(self, path):
        super().__init__(NAME, timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(str(self.path))


def ask(path, place, method="GET", body=None, headers={}):
    """The status of a response."""
    connection = Through(path)
    connection.request(method, place, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def example(document, kind):
    """The one block of that kind in a document, with our address in it."""
    text = (HERE.parent.parent / "docs" / document).read_text(encoding="utf-8")
    (found,) = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    assert NAME in found or kind == "nginx", found
    return found.replace("127.0.0.1:8787", stage.url.removeprefix("http://"))


def nginx(folder, at, block):
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {}\nhttp { access_log off;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"server {{ listen unix:{at}; server_name {NAME};\n{block}\n}}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder, at, block):
    # TLS is not checked, and the names of the examples get no certificate.
    block = block.replace(f"{NAME} {{", f"http://{NAME} {{\nbind unix/{at}", 1)
    (folder / "Caddyfile").write_text(f"{{\nadmin off\nauto_https off\n}}\n{block}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def started(name, make, block):
    folder = work_folder()
    at = folder / "proxy.sock"
    with (folder / "log").open("wb") as log:
        process = child(make(folder, at, block), stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    runs = wait_for(lambda: at.exists() or process.poll() is not None) and process.poll() is None
    claim(f"{name} runs", runs, (folder / "log").read_text())
    return at


stage = Stage(
    {"a1": ("Jane", "TRAINING")},
    web=f'hosts = ["{NAME}"]\nhint_token = {{ env = "INTEROP_HINT_TOKEN" }}',
)
claim("a daemon with a page runs", stage.daemon.runs(), stage.daemon.said())
wait_for(lambda: ": baseline " in stage.daemon.said())

statuses = iter(["IDLE", "TRAINING", "REFUSED", "TRAINING"])
for name, make, kind in (("nginx", nginx, "nginx"), ("Caddy", caddy, "caddyfile")):
    at = started(f"{name}, for the page,", make, example("page.md", kind))
    for place in ("/", "/api/v1/status", "/metrics", "/api/v1/stream"):
        claim(f"{name}: {place} requires the token", ask(at, place) == 401, ask(at, place))
    claim(f"{name}: with it the page is shown", ask(at, "/", headers=EVERY) == 200)
    # A login of a browser, with its `Origin`.
    origin = EVERY | {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
    status = ask(at, "/api/v1/channels/ops/test", "POST", headers=origin)
    claim(f"{name}: a button works", status == 200, status)
    status = ask(at, "/api/v1/channels/ops/test", "POST", headers=EVERY | {"Origin": "https://evil.example"})
    claim(f"{name}: … and not from another origin", status == 403, status)
    for dropped in ("X-Forwarded-For", "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Via, Host"):
        status = ask(at, "/", headers={"Connection": dropped})
        claim(f"{name}: `Connection: {dropped}` gives no access", status in (400, 401), status)
    connection = Through(at)
    connection.request("GET", "/api/v1/stream", headers=EVERY)
    answer = connection.getresponse()
    wanted = next(statuses)
    begun, seen = time.monotonic(), b""
    stage.turn("a1", wanted)
    while f'"{wanted}"'.encode() not in seen and time.monotonic() < begun + LIMIT_S:
        seen += answer.read1(4096)
    claim(f"{name}: an event arrives at once", time.monotonic() < begun + 5, seen)

    at = started(f"{name}, for hints,", make, example("hints.md", kind))
    body = json.dumps({"event": "AVATAR_TRAINING_SUCCESS", "data": {"avatarId": "a1"}})
    status = ask(at, f"/hints/argil/{HINT_TOKEN}", "POST", body)
    claim(f"{name}: a hint is accepted", status == 202, status)
    for place in (
        "/", "/metrics", "/api/v1/status", "/healthz", "/hints/", "/hints/argil/../../metrics",
        "/hints/argil/%2e%2e/%2e%2e/metrics", "/hints/argil/..%2f..%2fmetrics", "//metrics",
    ):
        connection = Through(at)
        connection.request("GET", place, headers=EVERY)
        answer = connection.getresponse()
        shown = answer.read()
        claim(f"{name}: the proxy for hints does not forward {place}", b"avatar" not in shown.replace(b"avatar-watch", b""), (answer.status, shown[:300]))
end()
