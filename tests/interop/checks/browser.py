"""The page in headless Chromium: sets the stage, and lets `browser.mjs` look at it."""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import BINARY, HERE, child, claim, end, surroundings, wait_for, work_folder
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
claim("a delivery is dead", stage.delivered("failed"), stage.daemon.said())
stage.refuses.clear()

folder = work_folder()
screen = (folder / "demo.txt").open("w+")
demo = child(
    [BINARY, "demo", "--avatars", "8", "--speed", "3", "--seed", "2"],
    env=surroundings(), stdout=screen, stderr=screen,
)
place = re.compile(r"Status page: (http://127\.0\.0\.1:\d+)")
shown = lambda: (folder / "demo.txt").read_text("utf-8")
found = wait_for(lambda: place.search(shown()))
claim("the demo says where its page is", found, shown())

pictures = HERE.parent.parent / "target" / "screenshots"
pictures.mkdir(parents=True, exist_ok=True)
looks = subprocess.run(
    ["node", HERE / "checks" / "browser.mjs"],
    env=os.environ | {
        "DEMO": found.group(1), "PAGE": stage.url, "TOKEN": TOKEN, "PICTURES": str(pictures),
    },
    stdout=subprocess.PIPE, text=True, timeout=180, check=False,
)
print(looks.stdout, end="", flush=True)
claim("the browser came to its end", looks.returncode == 0, looks.stdout)
claim("what was sent again by a click is delivered", stage.delivered("delivered"))
rows = stage.daemon.rows("SELECT count(DISTINCT event_id), count(*) FROM deliveries")
claim("… under the id that it had", rows == [(1, 2)], rows)
claim("it stops well", stage.daemon.stop() == 0, stage.daemon.said())
end()
