"""Small HTTP servers for the checks, which log nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body=b"", kind=None):
        """Answers with those bytes; 204 has none."""
        self.send_response(code)
        if kind is not None:
            self.send_header("content-type", kind)
        if code != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if code != 204:
            self.wfile.write(body)

    def answer_json(self, code, value):
        self.answer(code, json.dumps(value).encode(), "application/json")

    def log_message(self, *_):
        pass


def serve(server):
    """Serves in a thread until the check ends."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
