"""A fake of the API and a receiver of webhooks, on this machine only."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Serving(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Argil:
    """Knows avatars by id; records polled ids and keys."""

    def __init__(self, port):
        self.statuses, self.polled, self.keys = {}, [], set()
        argil = self

        class Handler(Serving):
            def do_GET(self):
                avatar = self.path.rsplit("/", 1)[-1]
                argil.keys.add(self.headers.get("x-api-key"))
                argil.polled.append(avatar)
                status = argil.statuses.get(avatar)
                if status is None:
                    return self.answer(404, b"{}")
                self.answer(200, json.dumps({"id": avatar, "status": status}).encode())

        serve(port, Handler)


class Receiver:
    """Records every attempt; answers 500 while `refuses` is set, and only when `gate` is open."""

    def __init__(self, port):
        self.attempts, self.accepted, self.refuses = [], [], False
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(Serving):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                one = (self.headers["webhook-id"], body)
                receiver.attempts.append(one)
                receiver.gate.wait()
                if receiver.refuses:
                    return self.answer(500)
                receiver.accepted.append(one)
                self.answer(204)

        serve(port, Handler)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignored: a killed client closes its connections."""


def serve(port, handler):
    server = Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
