"""A mail of every type that a daemon sends within seconds, written into a folder and read by Python's
own parser: hostile names, every status, conditions that fire and are resolved, and a test mail.
"""

import email
import email.policy
import json
import signal
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import Daemon, claim, command, end, wait_for, work_folder
from mails import defects
from servers import Quiet, serve

WALK, GONE, SLOW = "walk-0001", "gone-0002", "slow-0003"
STEPS = ["NOT_TRAINED", "TRAINING", "IDLE", "TRAINING", "TRAINING_FAILED", "REFUSED", "SOMETHING_NEW"]
NAME = "=?utf-8?q?J=0D=0A?= Jané\r\nBcc: x@example.com\u202e <b>“Ω”</b> 👩🏽 " + "long" * 50
KINDS = {
    "avatar.status_changed", "avatar.ready", "avatar.training_failed", "avatar.refused",
    "avatar.missing", "avatar.training_overdue", "avatar.status_unrecognized", "config.rejected", "test.ping",
}


class Argil(Quiet):
    """The API: one avatar with every status in turn, one unknown, one that stays in training."""

    step, found = 0, False

    def do_GET(self):
        id = self.path.removeprefix("/v1/avatars/")
        if id == GONE and not Argil.found:
            return self.answer_json(404, {"code": 404, "message": "Avatar not found"})
        status = {WALK: STEPS[Argil.step], SLOW: "TRAINING", GONE: "IDLE"}[id]
        self.answer_json(200, {"id": id, "name": NAME, "status": status, "model": "ARGIL_ATOM"})


ground = work_folder()
(ground / "mails").mkdir()
server = serve(ThreadingHTTPServer(("127.0.0.1", 0), Argil))
config = f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{server.server_port}/v1"
max_requests_per_second = 100
[poll]
training = {{ min = "50ms", max = "100ms" }}
not_trained = "100ms"
settled = "100ms"
missing = "100ms"
[events]
group_window = "0s"
[[avatars]]
id = "{WALK}"
[[avatars]]
id = "{GONE}"
[[avatars]]
id = "{SLOW}"
overdue_after = "1s"
[channels.folder]
type = "email"
from = "avatar-watch@example.com"
to = ["studio@example.com", "ops@example.com"]
file = {{ folder = "mails" }}
events = ["avatar.ready", "avatar.training_failed", "avatar.refused", "avatar.status_changed"]
operator = true
"""
daemon = Daemon(ground, config)
claim("the daemon runs", daemon.runs(), daemon.said())


def seen(status):
    return daemon.rows("SELECT 1 FROM watches WHERE avatar_id = ? AND status = ?", WALK, status)


for number, status in enumerate(STEPS):
    Argil.step = number
    claim(f"{status} is observed", wait_for(lambda: seen(status)), daemon.said())


def mails():
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in sorted((ground / "mails").glob("*.eml"))]


def sent(kind, state):
    return any((mail["x-avatar-watch-type"], mail["x-avatar-watch-state"]) == (kind, state)
               for mail in mails())


claim("an unknown avatar is reported", wait_for(lambda: sent("avatar.missing", "firing")))
Argil.found = True
claim("… and that it exists now", wait_for(lambda: sent("avatar.missing", "resolved")))
claim("an unknown status is reported", wait_for(lambda: sent("avatar.status_unrecognized", "firing")))
daemon.config.write_text("nonsense = [", encoding="utf-8")
daemon.process.send_signal(signal.SIGHUP)
claim("an invalid config is reported", wait_for(lambda: sent("config.rejected", "firing")))
daemon.config.write_text(config, encoding="utf-8")
daemon.process.send_signal(signal.SIGHUP)
claim("… and that it is valid again", wait_for(lambda: sent("config.rejected", "resolved")))
claim("an overdue training is reported", wait_for(lambda: sent("avatar.training_overdue", "firing")))
tried = command("test", "folder", "--config", daemon.config)
claim("a test mail is written, too", tried.returncode == 0, tried.stdout + tried.stderr)
claim("SIGTERM ends it with 0", daemon.stop() == 0, daemon.said())

all_mails = mails()
kinds = {mail["x-avatar-watch-type"] for mail in all_mails}
claim("there is a mail of every type", kinds == KINDS, kinds ^ KINDS)
files = sorted((ground / "mails").iterdir())
claim("each has its envelope, and there is no other file", len(files) == 2 * len(all_mails), files)
broken = {str(mail["subject"]): found for mail in all_mails if (found := defects(mail))}
claim("the parser finds no defect in any", not broken, broken)
claim("… nor an unexpected header", not any(mail["bcc"] or mail["cc"] for mail in all_mails))
subjects = [str(mail["subject"]) for mail in all_mails]
claim("every subject is one line, with the prefix", all(
    subject.startswith("[avatar-watch] ") and subject.isprintable() for subject in subjects
), subjects)
bodies = [mail.get_body((kind,)).get_content() for mail in all_mails for kind in ("plain", "html")]
claim("every mail has a text and an HTML", all(len(body) > 100 for body in bodies))
claim("… where markup in names is text", not any("<b>“" in body for body in bodies[1::2]))
claim("a mail about a training has its duration", any(
    "Training took: " in body for body in bodies[0::2]
))
envelopes = [json.loads(file.read_text("utf-8")) for file in files if file.suffix == ".json"]
claim("the envelopes name both recipients", {it["to"] for it in envelopes} == {
    "studio@example.com", "ops@example.com"
})
ids = [mail["message-id"] for mail in all_mails]
claim("no two mails share an id", len(set(ids)) == len(ids))
end()
