"""Every format, as it is sent: messages about every status and avatars with hostile names.

The daemon observes each avatar in training and then in another status, and notifies one channel of
each format. The messages are kept in the folder of the first argument, for later checks.
"""

import json
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import KEY, Daemon, claim, command, end, wait_for, work_folder
from servers import Quiet, serve

FORMATS = ["cloudevents", "slack", "discord", "teams", "ntfy", "template"]
STATUSES = ["IDLE", "TRAINING_FAILED", "REFUSED", "NOT_TRAINED", "PAUSED <!here>"]
NAMES = [
    "Jané, “English” 👩🏽‍🚀",
    "<@everyone> @here <!channel> <https://evil.example|click>",
    "*b* _i_ `c` **bb** ||s|| [link](https://evil.example) ]]></script>",
    "line\r\nBcc: x\u0000\u001b[2J \u202egpj.exe שלום",
    "{{ id }} {{DATE(2020-01-01T00:00:00Z,SHORT)}} " + "🚀*<" * 2500,
]
AVATARS = {f"a{number}": pair for number, pair in enumerate(zip(STATUSES, NAMES))}


class Argil(Quiet):
    def do_GET(self):
        id = self.path.removeprefix("/v1/avatars/")
        if self.headers["x-api-key"] != KEY or id not in AVATARS:
            return self.answer(404, b"{}")
        status, name = AVATARS[id]
        status = status if self.server.ended else "TRAINING"
        self.answer(200, json.dumps({"id": id, "name": name, "status": status}).encode())


class Receiver(Quiet):
    """Responds as the service of each format does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        path = self.path.partition("?")[0].strip("/") or "ntfy"
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            kept = {"path": self.path, "headers": headers, "body": body}
            self.server.kept.setdefault(path, []).append(kept)
        code = {"teams": 202}.get(path, 200)
        said = {"slack": b"ok", "ntfy": b'{"id":"1","event":"message","topic":"avatars"}'}
        self.answer(code, said.get(path, b'{"id":"1"}'))


def start(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.kept, server.lock, server.ended = {}, threading.Lock(), False
    return serve(server)


def channel(name, port):
    more = {
        "cloudevents": 'secret = { env = "OPS_WEBHOOK_SECRET" }\nsource = "urn:interop:here"',
        "template": 'template = { text = "{{ text }}", body = "{{ data }}", n = [1, "{{ status }}"] }',
    }
    return f"""
[channels.{name}]
type = "webhook"
url = "http://127.0.0.1:{port}/{name}"
format = "{name}"
operator = true
events = ["avatar.ready", "avatar.training_failed", "avatar.refused", "avatar.status_changed"]
{more.get(name, "")}
"""


argil, receiver = start(Argil), start(Receiver)
secret = command("secret").stdout.strip()
ids = "".join(f'[[avatars]]\nid = "{id}"\n' for id in [*AVATARS, "gone"])
text = f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{argil.server_port}/v1"
max_requests_per_second = 100
[poll]
training = {{ min = "50ms", max = "100ms" }}
not_trained = "100ms"
settled = "100ms"
missing = "100ms"
{ids}
"""
channels = "".join(channel(name, receiver.server_port) for name in FORMATS)
daemon = Daemon(work_folder(), text + channels, OPS_WEBHOOK_SECRET=secret)
training = "SELECT count(*) FROM watches WHERE status = 'TRAINING'"
claim("all are observed in training", wait_for(lambda: daemon.rows(training) == [(5,)]), daemon.said())
argil.ended = True
# One is missing, and one gets an unknown status.
messages = len(AVATARS) + 2
count = len(FORMATS) * messages
delivered = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
is_done = wait_for(lambda: daemon.rows(delivered) == [(count,)], limit_s=60)
claim(f"{count} messages are delivered", is_done, (daemon.rows(delivered), daemon.said()))
claim("SIGTERM ends it with 0", daemon.stop() == 0, daemon.said())
for name in FORMATS:
    kept = receiver.kept.get(name, [])
    claim(f"{name}: one message for each event", len(kept) == messages, len(kept))
(Path(sys.argv[1]) / "formats.json").write_text(
    json.dumps({"secret": secret, "kept": receiver.kept, "avatars": AVATARS}), encoding="utf-8"
)
end()
