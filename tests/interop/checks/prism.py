"""The published OpenAPI, served by Prism, is polled and recorded unchanged.

Prism answers every avatar id with its one example, and rejects a request without the key.
"""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import BINARY, HERE, KEY, Daemon, child, claim, end, os, wait_for, work_folder

OPENAPI = HERE / "argil-openapi.yaml"
# The values of Prism for `format: uuid`, and the first status in the list.
EXAMPLE_ID = "497f6eca-6276-4993-bfeb-53cbbbba6f08"
EXAMPLE_STATUS = "NOT_TRAINED"
OTHER_ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
PRISM = "node_modules/@stoplight/prism-cli/dist/index.js"


class Prism:
    """Prism, serving an OpenAPI file on a port of its own choice."""

    def __init__(self, folder, openapi):
        self.log = folder / "prism.log"
        with self.log.open("wb") as log:
            script = Path(os.environ["INTEROP_NODE"]) / PRISM
            self.process = child(
                ["node", script, "mock", "-h", "127.0.0.1", "-p", "0", "--errors", openapi],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        listening = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
        found = wait_for(lambda: listening.search(self.said()) or self.process.poll() is not None)
        if not isinstance(found, re.Match):
            raise SystemExit(f"Prism did not start:\n{self.said()}")
        self.address = found.group(1)

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")


def config(address, *ids):
    avatars = "".join(f'[[avatars]]\nid = "{id}"\n' for id in ids)
    return f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "{address}"
[poll]
not_trained = "100ms"
backoff = {{ initial = "50ms", max = "100ms" }}
{avatars}
"""


def failure(daemon, id):
    return wait_for(lambda: (daemon.status().get(id) or {}).get("failure")) or {}


published = work_folder()
prism = Prism(published, OPENAPI)
daemon = Daemon(published, config(prism.address, EXAMPLE_ID, OTHER_ID))
row = wait_for(
    lambda: daemon.rows("SELECT status FROM watches WHERE avatar_id = ? AND status IS NOT NULL", EXAMPLE_ID)
)
claim("SQLite has the status that Prism gave", row == [(EXAMPLE_STATUS,)], f"{row}\n{daemon.said()}")
shown = daemon.status().get(EXAMPLE_ID, {})
claim("`status --json` shows it", shown.get("status") == EXAMPLE_STATUS, shown)
claim("… without any failure", "failure" in shown and shown["failure"] is None, shown)
said = prism.said()
claim(
    "Prism found no request that breaks the OpenAPI",
    "The request passed the validation rules" in said and "did not pass" not in said,
    said,
)

other = failure(daemon, OTHER_ID)
claim("a response about another avatar is a failed poll", other.get("kind") == "failed", other)
claim("… that names both avatars", EXAMPLE_ID in other.get("reason", ""), other)
row = daemon.rows("SELECT status FROM watches WHERE avatar_id = ?", OTHER_ID)
claim("… and no status is recorded from it", row == [(None,)], row)
row = daemon.rows("SELECT count(*) FROM transitions WHERE avatar_id = ?", OTHER_ID)
claim("… nor a transition", row == [(0,)], row)
claim("it stops at SIGTERM with 0", daemon.stop() == 0, daemon.said())

# The same document with another name for the header of the key: to Prism, the key is missing.
keyless = work_folder()
renamed = keyless / "openapi.yaml"
renamed.write_text(OPENAPI.read_text("utf-8").replace("x-api-key", "x-other-key"), "utf-8")
prism = Prism(keyless, renamed)
daemon = Daemon(keyless, config(prism.address, EXAMPLE_ID))
denied = failure(daemon, EXAMPLE_ID)
claim("without the key that Prism requires, the poll is denied", denied.get("kind") == "denied", denied)
claim("… with Prism's 401", "401" in denied.get("reason", ""), denied)
row = daemon.rows("SELECT status FROM watches WHERE avatar_id = ?", EXAMPLE_ID)
claim("… and no status is recorded from it", row == [(None,)], row)
claim("it stops at SIGTERM with 0 here too", daemon.stop() == 0, daemon.said())


def waited(address, *arguments):
    """The exit status and output of `wait`, with only a key and the address of Prism."""
    nowhere = work_folder()
    done = subprocess.run(
        [BINARY, "wait", EXAMPLE_ID, *arguments],
        env={"ARGIL_API_KEY": KEY, "ARGIL_BASE_URL": address},
        cwd=nowhere,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.strip()


rejected = waited(prism.address)
claim("`wait` ends with 7 there", rejected == (7, f"{EXAMPLE_ID}: key-rejected"), rejected)
for status, code in (("IDLE", 0), ("TRAINING_FAILED", 3), ("REFUSED", 4)):
    folder = work_folder()
    settled = folder / "openapi.yaml"
    # Prism returns the first status of the list, so swap the two.
    text = OPENAPI.read_text("utf-8").replace(f"- {status}\n", "- SWAPPED\n", 1)
    text = text.replace("- NOT_TRAINED\n", f"- {status}\n", 1)
    settled.write_text(text.replace("- SWAPPED\n", "- NOT_TRAINED\n", 1), "utf-8")
    said = waited(Prism(folder, settled).address)
    claim(f"`wait` ends with {code} where Prism shows {status}", said == (code, f"string: {status}"), said)
tired = waited(Prism(work_folder(), OPENAPI).address, "--timeout", "1s")
claim("`wait` ends with 5 where Prism shows NOT_TRAINED", tired == (5, "string: timed-out"), tired)
end()
