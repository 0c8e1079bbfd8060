"""Three trainings end, each with another status: what the daemon sends.

A simulated API lets three avatars leave TRAINING. A receiver and aiosmtpd keep the messages in the
folder of the first argument, for later checks. One message is rejected once, so that there is a
repeat. A fourth avatar is unknown to the API, which is reported to operators.
"""

import asyncio
import json
import logging
import ssl
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from ground import KEY, Daemon, claim, command, end, wait_for, work_folder
from servers import Quiet, serve

SENT_AWAY = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
ENDINGS = {
    SENT_AWAY: ("IDLE", "avatar.ready"),
    "7d3f5a52-93a1-4a4c-9d0e-0d7f4a8a1b02": ("TRAINING_FAILED", "avatar.training_failed"),
    "b1f7c1de-55a8-4f0e-8b52-6d4f4e0c9a03": ("REFUSED", "avatar.refused"),
}
GONE = "0e6b2f0c-5a3d-4f52-9c1e-2f7a4d1b8c04"
# Names that a mail's header must encode, a mail's HTML must escape, and a signature must survive.
NAMES = ["Jané, “English” 👩🏽", "Tom & <Jerry>", "Ω" * 60]
LOGIN = ("avatar-watch@example.com", "interop-password")
MAILBOX, STRANGER = "studio@example.com", "stranger@example.com"
OPERATOR = "operator@example.com"
CA_FILE = 'ca_file = "mail-ca.pem"'


class Argil(ThreadingHTTPServer):
    """The API: every avatar is in training until the trainings end."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ArgilHandler)
        self.ended = False
        self.polls = dict.fromkeys(ENDINGS, 0)


class ArgilHandler(Quiet):
    def do_GET(self):
        id = self.path.removeprefix("/v1/avatars/")
        if self.headers["x-api-key"] != KEY:
            return self.answer_json(401, {"code": 401, "message": "unknown key"})
        if id not in ENDINGS:
            return self.answer_json(404, {"code": 404, "message": "Avatar not found"})
        self.server.polls[id] += 1
        status = ENDINGS[id][0] if self.server.ended else "TRAINING"
        name = NAMES[list(ENDINGS).index(id)]
        self.answer_json(200, {"id": id, "name": name, "status": status, "model": "ARGIL_ATOM"})


class Receiver(ThreadingHTTPServer):
    """A consumer: keeps every request, and rejects the first message about one avatar."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.requests = []
        self.conditions = []
        self.lock = threading.Lock()


class ReceiverHandler(Quiet):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            before = [kept for kept in self.server.requests if SENT_AWAY in kept["body"]]
            code = 503 if SENT_AWAY.encode() in body and not before else 204
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept = {"headers": headers, "body": body.decode(), "answered": code}
            to = self.server.conditions if self.path == "/watch" else self.server.requests
            to.append(kept)
        self.answer(code)


class Mailboxes:
    """A mail server that requires STARTTLS and a login; keeps every mail."""

    def __init__(self, context):
        self.kept = []
        self.conditions = []
        self.context = context
        self.loop = asyncio.new_event_loop()
        listening = self.loop.create_server(self.session, "127.0.0.1", 0)
        self.port = self.loop.run_until_complete(listening).sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def session(self):
        return SMTP(
            self,
            loop=self.loop,
            tls_context=self.context,
            require_starttls=True,
            auth_required=True,
            authenticator=self.authenticate,
        )

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        return AuthResult(success=given == LOGIN, handled=False, auth_data=data.login)

    async def handle_DATA(self, _server, session, envelope):
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "login": session.auth_data.decode() if session.authenticated else None,
            "data": envelope.original_content.decode("latin-1"),
        }
        (self.conditions if OPERATOR in envelope.rcpt_tos else self.kept).append(kept)
        return "250 kept"


def mail_server_identity(folder):
    """A certificate for `localhost` from an authority of its own, which is written to a file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "mail-ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def mail_account(name, to, port, keys, smtp_keys=""):
    return f"""
[channels.{name}]
type = "email"
from = "{LOGIN[0]}"
to = ["{to}"]
{keys}
[channels.{name}.smtp]
host = "localhost"
port = {port}
tls = "starttls"
username = "{LOGIN[0]}"
password = {{ env = "SMTP_PASSWORD" }}
{smtp_keys}
"""


def config(argil, receiver, mail):
    often, operator = 'retry_schedule = ["0s", "1s", "5s"]', "events = []\noperator = true"
    studio = mail_account("studio-mail", MAILBOX, mail, often, CA_FILE)
    watch = mail_account("watch-mail", OPERATOR, mail, operator, CA_FILE)
    untrusting = mail_account("untrusting", STRANGER, mail, 'retry_schedule = ["0s", "1h"]')
    avatars = "".join(f'[[avatars]]\nid = "{id}"\n' for id in [*ENDINGS, GONE])
    return f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{argil}/v1"
max_requests_per_second = 100
[poll]
training = {{ min = "50ms", max = "100ms" }}
settled = "100ms"
missing = "100ms"
{avatars}
[channels.ops]
type = "webhook"
url = "http://127.0.0.1:{receiver}/hook"
secret = [{{ env = "OPS_WEBHOOK_SECRET" }}, {{ env = "OLD_WEBHOOK_SECRET" }}]
retry_schedule = ["0s", "200ms", "1s", "5s"]
{studio}
[channels.watch]
type = "webhook"
url = "http://127.0.0.1:{receiver}/watch"
secret = {{ env = "OPS_WEBHOOK_SECRET" }}
events = []
operator = true
{watch}
# The same server, without a `ca_file` that makes its certificate trusted.
{untrusting}
"""


def polled_again(argil, times=3):
    """Waits until every avatar was polled so many times more."""
    before = dict(argil.polls)
    return wait_for(lambda: all(argil.polls[id] >= before[id] + times for id in ENDINGS))


# Handshakes fail on purpose here, which aiosmtpd would log at length.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
record, ground = Path(sys.argv[1]), work_folder()
argil, receiver = serve(Argil()), serve(Receiver())
mailboxes = Mailboxes(mail_server_identity(ground))
# The secret of the receiver is being rotated: both sign.
secret, old_secret = (command("secret").stdout.strip() for _ in range(2))
daemon = Daemon(
    ground,
    config(argil.server_port, receiver.server_port, mailboxes.port),
    OPS_WEBHOOK_SECRET=secret,
    OLD_WEBHOOK_SECRET=old_secret,
    SMTP_PASSWORD=LOGIN[1],
)

training = "SELECT count(*) FROM watches WHERE status = 'TRAINING'"
claim("all three are observed in training", wait_for(lambda: daemon.rows(training) == [(3,)]), daemon.said())
claim("… and no message is sent", not receiver.requests and not mailboxes.kept)
argil.ended = True
delivered = """SELECT count(*) FROM deliveries d JOIN events e ON e.id = d.event_id
               WHERE d.state = 'delivered' AND e.type LIKE 'avatar.%'"""
delivered_all = wait_for(lambda: daemon.rows(delivered) == [(8,)], limit_s=60)
claim("eight deliveries are delivered: four webhooks, four mails", delivered_all, daemon.said())
distrusted = "SELECT state, attempts, last_class FROM deliveries WHERE channel_id = 'untrusting'"
# The oldest is attempted more often: it is the probe of the channel.
tried = wait_for(lambda: [(state, attempts > 0, last) for state, attempts, last in daemon.rows(distrusted)]
                 == [("pending", True, "retryable")] * 3)
claim("deliveries to an untrusted mail server are retried", tried, daemon.rows(distrusted))
claim("… and it gets no mail", not any(STRANGER in mail["to"] for mail in mailboxes.kept))

claim("the avatars are polled again", polled_again(argil))
claim("SIGTERM ends it with 0", daemon.stop() == 0, daemon.said())
daemon.start()
claim("after a restart they are polled again", polled_again(argil))
claim("SIGTERM ends it with 0 again", daemon.stop() == 0, daemon.said())

answers = sorted(kept["answered"] for kept in receiver.requests)
claim("the receiver accepted three messages and rejected one", answers == [204, 204, 204, 503], answers)
claim("the mail server accepted three mails", len(mailboxes.kept) == 3, len(mailboxes.kept))


def reported(kind):
    """The conditions of a kind sent to operators, by webhook and by mail."""
    return tuple([kept for kept in conditions if kind in json.dumps(kept)]
                 for conditions in (receiver.conditions, mailboxes.conditions))


conditions = tuple(map(len, reported("avatar.missing")))
claim("operators are notified once of the avatar that is missing", conditions == (1, 1), conditions)
failing = tuple(map(len, reported("channel.failing")))
claim("… and once of the channel that fails three times in a row", failing == (1, 1), failing)
claim("the key and the secrets are not in the log", not any(
    word in daemon.said() for word in (KEY, secret, old_secret, LOGIN[1])
))

expected = {id: {"status": status, "type": kind} for id, (status, kind) in ENDINGS.items()}
kept = {
    "secret": secret,
    "old_secret": old_secret,
    "expected": expected,
    "sent_away": SENT_AWAY,
    "requests": receiver.requests,
    "mails": mailboxes.kept,
    "gone": GONE,
    "conditions": dict(zip(("requests", "mails"), reported("avatar.missing"))),
    "mailbox": MAILBOX,
    "login": LOGIN[0],
}
(record / "news.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
end()
