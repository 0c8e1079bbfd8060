"""The API and its OpenAPI document, by schemathesis: every response is described."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import claim, end, wait_for, work_folder
from stage import TOKEN, Stage

stage = Stage({"a1": ("Jane", "TRAINING"), "a2": ("Joe", "NOT_TRAINED")})
claim("a daemon with a page runs", stage.daemon.runs(), stage.daemon.said())
wait_for(lambda: ": baseline " in stage.daemon.said())
stage.turn("a1", "IDLE")
claim("a message is delivered", stage.delivered("delivered"), stage.daemon.said())

document = json.load(urllib.request.urlopen(f"{stage.url}/api/v1/openapi.json", timeout=10))
claim("the document is of OpenAPI 3.1", document["openapi"].startswith("3.1"))
# The stream does not end within the timeout, so another test covers it.
described = [path for path in document["paths"] if path != "/api/v1/stream"]
schemathesis = Path(sys.executable).with_name("schemathesis")
for header in ([], ["--header", f"Authorization: Bearer {TOKEN}"]):
    who = "with the token" if header else "without a token"
    run = subprocess.run(
        [
            schemathesis, "run", f"{stage.url}/api/v1/openapi.json", "--exclude-path", "/api/v1/stream",
            "--checks", "all",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1",
            "--request-timeout", "30", "--no-color", *header,
        ],
        cwd=work_folder(), capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"SCHEMATHESIS_HOOKS": ""},
    )
    said = run.stdout + run.stderr
    tested = re.search(r"Tested: (\d+)|(\d+) generated", said)
    claim(f"schemathesis finds nothing {who}", run.returncode == 0, said[-6000:])
    claim(f"… and tested something {who}", tested and int(next(filter(None, tested.groups()))) > 0, said[-2000:])
claim("no error was logged", " ERROR " not in stage.daemon.said(), stage.daemon.said())
claim("every path is described", len(described) >= 11, described)
claim("it stops with exit status 0", stage.daemon.stop() == 0, stage.daemon.said())
end()
