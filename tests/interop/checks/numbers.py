"""The metrics, the alert rules and the dashboard, checked by `promtool`."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import HERE, claim, end, wait_for
from stage import Stage

MONITORING = HERE.parent.parent / "docs" / "monitoring"


def promtool(*arguments, text=None):
    return subprocess.run(
        ["promtool", *map(str, arguments)],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )


stage = Stage({"a1": ("Jane", "TRAINING"), "a2": ("Joe", "TRAINING"), "a3": ("Nemo", "NEW <STATUS>")})
claim("a daemon with a page runs", stage.daemon.runs(), stage.daemon.said())
wait_for(lambda: ": baseline " in stage.daemon.said())
stage.turn("a1", "IDLE")
claim("a message is delivered", stage.delivered("delivered"), stage.daemon.said())
stage.refuses.set()
stage.turn("a2", "REFUSED")
claim("an event that no receiver accepts is a dead letter", stage.delivered("dead"), stage.daemon.said())

numbers = urllib.request.urlopen(f"{stage.url}/metrics", timeout=10).read().decode()
checked = promtool("check", "metrics", text=numbers)
claim("promtool accepts the metrics", checked.returncode == 0, checked.stderr)
claim("… without advice", checked.stdout + checked.stderr == "", checked.stdout + checked.stderr)
spoilt = promtool("check", "metrics", text=numbers.replace("_seconds", "_milliseconds"))
claim("… and rejects damaged ones", spoilt.returncode != 0)

known = set(re.findall(r"^(avatar_watch_\w+)", numbers, re.MULTILINE))
for name in (
    "polls_total", "poll_duration_seconds_bucket", "transitions_total", "deliveries_total",
    "attempts_total", "delivery_latency_seconds_bucket", "deliveries_pending", "dead_letters",
    "oldest_undelivered_age_seconds", "account_last_success_age_seconds",
    "config_last_reload_successful", "build_info", "loop_age_seconds", "database_size_bytes",
    "database_writable",
):
    claim(f"there is `{name}`", f"avatar_watch_{name}" in known, sorted(known))
claim("an unknown status is no label", "<STATUS>" not in numbers, numbers)
claim("the dead letter is counted", 'dead_letters{channel="ops"} 1' in numbers, numbers)

rules = promtool("check", "rules", MONITORING / "alerts.yml")
claim("promtool accepts the alert rules", rules.returncode == 0, rules.stdout + rules.stderr)
texts = (MONITORING / "alerts.yml").read_text("utf-8")
dashboard = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
for place, text in (("alert rules", texts), ("dashboard", "\n".join(expressions))):
    named = set(re.findall(r"\bavatar_watch_\w+", text))
    # No condition is firing, so the metric of conditions is absent.
    missing = named - known - {"avatar_watch_conditions"}
    claim(f"the {place} name existing metrics", named and not missing, missing)
for expression in expressions:
    plain = expression.replace('job=~"$job"', 'job=~".+"')
    rule = {"record": "x:y", "expr": plain}
    rules = json.dumps({"groups": [{"name": "x", "rules": [rule]}]})
    parsed = promtool("check", "rules", "/dev/stdin", text=rules)
    claim(f"`{expression}` is an expression", parsed.returncode == 0, parsed.stderr + parsed.stdout)
claim("it stops with exit status 0", stage.daemon.stop() == 0, stage.daemon.said())
end()
