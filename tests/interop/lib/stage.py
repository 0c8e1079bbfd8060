"""The scene for the page and the API: a fake Argil, a receiver, and a daemon between them."""

import threading
from http.server import ThreadingHTTPServer

from ground import Daemon, wait_for, work_folder
from servers import Quiet, serve

TOKEN = "interop-page-token"
HINT_TOKEN = "interop-hint-token"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Stage:
    """Avatars with their statuses; the receiver accepts everything until `refuses` is set. `web` is
    added to `[web]`, `extra` to the config."""

    def __init__(self, avatars, extra="", web=""):
        self.avatars = dict(avatars)
        self.refuses = threading.Event()
        stage = self

        class Argil(Quiet):
            def do_GET(self):
                avatar = self.path.rsplit("/", 1)[-1]
                if avatar not in stage.avatars:
                    return self.answer_json(404, {"code": "NOT_FOUND", "message": "no such avatar"})
                name, status = stage.avatars[avatar]
                return self.answer_json(
                    200, {"id": avatar, "name": name, "status": status, "model": "ARGIL_ATOM"}
                )

        class Receiver(Quiet):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.answer(500 if stage.refuses.is_set() else 204)

        argil = serve(ThreadingHTTPServer(("127.0.0.1", 0), Argil))
        receiver = serve(ThreadingHTTPServer(("127.0.0.1", 0), Receiver))
        registered = "".join(f'[[avatars]]\nid = "{avatar}"\n' for avatar in self.avatars)
        config = f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{argil.server_port}/v1"
max_requests_per_second = 1000
[poll]
training = {{ min = "100ms", max = "200ms" }}
not_trained = "200ms"
settled = "200ms"
[web]
listen = "127.0.0.1:0"
token = {{ env = "INTEROP_PAGE_TOKEN" }}
{web}
{registered}
[channels.ops]
type = "webhook"
url = "http://127.0.0.1:{receiver.server_port}/hook"
secret = {{ env = "OPS_WEBHOOK_SECRET" }}
retry_schedule = ["0s", "100ms"]
{extra}
"""
        secrets = {
            "INTEROP_PAGE_TOKEN": TOKEN,
            "INTEROP_HINT_TOKEN": HINT_TOKEN,
            "OPS_WEBHOOK_SECRET": SECRET,
        }
        self.daemon = Daemon(work_folder(), config, **secrets)
        said = "status page at `"
        if not wait_for(lambda: said in self.daemon.said()):
            raise RuntimeError(f"there is no page: {self.daemon.said()}")
        self.url = self.daemon.said().split(said)[1].split("`")[0].rstrip("/")

    def turn(self, avatar, status):
        """Sets the status that the fake Argil returns."""
        self.avatars[avatar] = (self.avatars[avatar][0], status)

    def delivered(self, state, count=1):
        """Waits until so many deliveries are in that state."""
        query = "SELECT count(*) FROM deliveries WHERE state = ?"
        return wait_for(lambda: (self.daemon.rows(query, state) or [(0,)])[0][0] >= count)
