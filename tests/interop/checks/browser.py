"""The page in headless Chromium: starts a daemon and a demo, and runs `browser.mjs` on their pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import BINARY, HERE, child, claim, end, environment, wait_for, work_folder
from stage import TOKEN, Stage

EVIL = '<img src=x onerror="alert(1)">'
stage = Stage({
    "a1": ("Jane, English", "TRAINING"),
    "a2": (EVIL, "TRAINING"),
    "a3": ("Joe, a name that is long enough to need a second line on a small screen", "IDLE"),
})
claim("a daemon with a page runs", stage.daemon.runs(), stage.daemon.said())
wait_for(lambda: stage.daemon.said().count(": baseline ") == 3)
stage.refuses.set()
stage.turn("a2", "REFUSED")
claim("a delivery is a dead letter", stage.delivered("dead"), stage.daemon.said())
stage.refuses.clear()

folder = work_folder()
screen = (folder / "demo.txt").open("w+")
demo = child(
    [BINARY, "demo", "--avatars", "8", "--speed", "3", "--seed", "2"],
    env=environment(), stdout=screen, stderr=screen,
)
address = re.compile(r"Status page: (http://127\.0\.0\.1:\d+)")
shown = lambda: (folder / "demo.txt").read_text("utf-8")
found = wait_for(lambda: address.search(shown()))
claim("the demo prints the address of its page", found, shown())

pictures = HERE.parent.parent / "target" / "screenshots"
pictures.mkdir(parents=True, exist_ok=True)
browser = subprocess.run(
    ["node", HERE / "checks" / "browser.mjs"],
    env=os.environ | {
        "DEMO": found.group(1), "PAGE": stage.url, "TOKEN": TOKEN, "PICTURES": str(pictures),
    },
    stdout=subprocess.PIPE, text=True, timeout=180, check=False,
)
print(browser.stdout, end="", flush=True)
claim("the checks in the browser ended", browser.returncode == 0, browser.stdout)
claim("the message that was sent again by a click is delivered", stage.delivered("delivered"))
rows = stage.daemon.rows("SELECT count(DISTINCT event_id), count(*) FROM deliveries")
claim("… under the same id", rows == [(1, 2)], rows)
claim("it stops with exit status 0", stage.daemon.stop() == 0, stage.daemon.said())
end()
