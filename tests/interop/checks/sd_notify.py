"""The messages of the daemon to systemd, received at a socket of the check (sd_notify(3))."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import LIMIT_S, Daemon, claim, end, wait_for, work_folder

# Nothing listens at port 9 of this machine; readiness must not wait for the API.
CONFIG = """
[argil]
api_key = { env = "ARGIL_API_KEY" }
base_url = "http://127.0.0.1:9/v1"
[[avatars]]
id = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
"""


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(LIMIT_S)
        self.heard = []

    def hears(self, wanted):
        """The next datagram with `wanted`, as a table; empty if there is none."""
        while True:
            try:
                datagram = self.socket.recv(4096).decode()
            except TimeoutError:
                return {}
            lines = datagram.splitlines()
            self.heard += lines
            if wanted in lines:
                return dict(line.split("=", 1) for line in lines)


folder = work_folder()
manager = Manager(folder / "notify")
watched = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1500000"}
daemon = Daemon(folder, CONFIG, **watched)
ready = manager.hears("READY=1")
claim("READY=1 is sent, though the API is unreachable", ready, daemon.said())
claim("… with a STATUS", ready.get("STATUS", "").startswith("1 avatar, "), ready)
alive = [manager.hears("WATCHDOG=1") for _ in range(3)]
claim("WATCHDOG=1 is sent repeatedly", all(alive), daemon.said())

before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
os.kill(daemon.process.pid, signal.SIGHUP)
reloading = manager.hears("RELOADING=1")
after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
claim("SIGHUP causes RELOADING=1", reloading, daemon.said())
time_us = int(reloading.get("MONOTONIC_USEC", "-1"))
claim("… with the time, in the same datagram", before <= time_us <= after, (before, time_us, after))
claim("… and READY=1 after it", manager.hears("READY=1"), daemon.said())

daemon.config.write_text(CONFIG.replace("base_url", "base_ulr"), "utf-8")
os.kill(daemon.process.pid, signal.SIGHUP)
claim("an invalid config causes RELOADING=1, too", manager.hears("RELOADING=1"), daemon.said())
claim("… and READY=1 after it: the previous config stays active", manager.hears("READY=1"), daemon.said())
claim("… and the log names the problem", wait_for(lambda: "base_ulr" in daemon.said()), daemon.said())

daemon.process.send_signal(signal.SIGTERM)
stopping = manager.hears("STOPPING=1")
claim("SIGTERM causes STOPPING=1", stopping, daemon.said())
# It may be in the same datagram.
more = stopping if "EXTEND_TIMEOUT_USEC" in stopping else manager.hears("STATUS=stopping")
claim("… and extends the timeout", int(more.get("EXTEND_TIMEOUT_USEC", "0")) > 10**6, more)
claim("… and the exit status is 0", daemon.stop() == 0, daemon.said())

# The watchdog of another process is ignored.
manager.heard.clear()
daemon = Daemon(folder, CONFIG, **watched, WATCHDOG_PID="1")
manager.hears("READY=1")
daemon.process.send_signal(signal.SIGTERM)
ended = manager.hears("STOPPING=1")
claim("the watchdog of another process gets no keep-alive", ended and "WATCHDOG=1" not in manager.heard)
daemon.stop()
end()
