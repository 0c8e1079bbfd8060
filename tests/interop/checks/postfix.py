"""A real mail server: Postfix, as a relay over SMTP, and as the `sendmail` of this machine.

It has a folder of its own, listens on 127.0.0.1 only, and passes mails on to aiosmtpd, which keeps
them. It is stopped by its id, and leaves nothing behind. Needs root.
"""

import asyncio
import atexit
import email
import email.policy
import json
import os
import pwd
import socket
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from aiosmtpd.smtp import SMTP
from ground import LIMIT_S, child, claim, command, end, wait_for, work_folder
from mails import defects

FROM, BOUNCES = "avatar-watch@example.com", "bounces@example.com"
GOOD, UNKNOWN = "studio@example.com", "unknown@example.com"
# As they are written, and as they arrive.
ODD = {"quoted": ('"john doe"@example.com', '"john doe"@example.com'),
       "script": ("studio@bücher.example", "studio@xn--bcher-kva.example")}
SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Sink:
    """The last server: accepts and keeps every mail."""

    def __init__(self):
        self.mails = []
        self.loop = asyncio.new_event_loop()
        listening = self.loop.create_server(lambda: SMTP(self, loop=self.loop), "127.0.0.1", 0)
        self.port = self.loop.run_until_complete(listening).sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def handle_DATA(self, _server, _session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 kept"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postfix:
    """Postfix in a folder, passing everything on to a port."""

    def __init__(self, ground, sink_port, limits=""):
        self.port = free_port()
        self.config = ground / "postfix"
        self.log = ground / "postfix.log"
        for name in ("postfix", "queue", "data"):
            (ground / name).mkdir()
        os.chmod(ground, 0o755)
        os.chown(ground / "data", pwd.getpwnam("postfix").pw_uid, -1)
        (self.config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {ground}/queue
data_directory = {ground}/data
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {self.log}
maillog_file_prefixes = {ground}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.com
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ {UNKNOWN} = 550 5.1.1 Unknown }} }}
{limits}
""", encoding="utf-8")
        services = f"127.0.0.1:{self.port} inet n - n - - smtpd\n{SERVICES}"
        (self.config / "master.cf").write_text(services, encoding="utf-8")

    def make_queue(self):
        made = subprocess.run(["postfix", "-c", self.config, "check"], capture_output=True,
                              timeout=LIMIT_S, check=False)
        return made.returncode == 0

    def start(self):
        self.process = child(["/usr/lib/postfix/sbin/master", "-c", self.config, "-d"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        return wait_for(self.greets)

    def greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as talk:
                return talk.recv(100).startswith(b"220 ")
        except OSError:
            return False

    def stop(self):
        """Asks it to stop, with everything that it started."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=LIMIT_S)

    def said(self):
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


def channel(name, to, way):
    return f"""
[channels.{name}]
type = "email"
from = "{FROM}"
bounce_to = "{BOUNCES}"
to = [{json.dumps(to, ensure_ascii=False)}]
{way}
"""


sink, ground = Sink(), work_folder()
postfix = Postfix(ground, sink.port)
claim("Postfix starts, and greets", postfix.make_queue() and postfix.start(), postfix.said())
small = work_folder()
narrow = Postfix(small, sink.port, "message_size_limit = 200")
claim("… and another one is ready, for small mails only", narrow.make_queue())
by_smtp = f'smtp = {{ host = "127.0.0.1", port = {postfix.port}, tls = "none" }}'
program = lambda config: f'sendmail = {{ command = ["/usr/sbin/sendmail", "-C", "{config}"] }}'
config = ground / "avatar-watch.toml"
config.write_text(
    '[argil]\napi_key = { env = "ARGIL_API_KEY" }\n'
    + channel("relay", GOOD, by_smtp)
    + channel("unknown", UNKNOWN, by_smtp)
    + channel("local", GOOD, program(postfix.config))
    + channel("narrow", GOOD, program(narrow.config))
    + "".join(channel(name, written, by_smtp) for name, (written, _) in ODD.items()),
    encoding="utf-8",
)


def try_channel(name):
    result = command("test", name, "--config", config)
    return result.returncode, result.stdout + result.stderr


for number, (name, how) in enumerate([("relay", "over SMTP"), ("local", "as `sendmail`")], 1):
    status, said = try_channel(name)
    claim(f"{how}: it accepts a mail", status == 0, said + postfix.said())
    if not claim(f"{how}: … and passes it on", wait_for(lambda: len(sink.mails) == number), postfix.said()):
        continue
    sender, recipients, raw = sink.mails[-1]
    claim(f"{how}: the envelope is unchanged", (sender, recipients) == (BOUNCES, [GOOD]), (sender, recipients))
    message = email.message_from_bytes(raw, policy=email.policy.default)
    claim(f"{how}: the parser finds no defect", not defects(message), defects(message))
    ids = message.get_all("message-id")
    ours = len(ids) == 1 and ids[0].startswith("<evt_") and ids[0].endswith("@example.com>")
    claim(f"{how}: the Message-ID is unchanged, and the only one", ours, ids)
    claim(f"{how}: there is one date", len(message.get_all("date")) == 1)
    claim(f"{how}: it came through Postfix", "relay.example.com" in message["received"])
    plain, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    claim(f"{how}: both parts are complete", "no avatar has changed" in plain.get_content()
          and html.get_content().rstrip().endswith("</html>"))
    claim(f"{how}: no line was doubled", "\n\n\n" not in plain.get_content(), plain.get_content())

status, said = try_channel("unknown")
claim("a rejected recipient is reported as such", status == 1 and "at `rcpt` (550)" in said, said)
claim("… without the address in the reply of the server", said.count(UNKNOWN) <= 1, said)
status, said = try_channel("narrow")
claim("a `sendmail` that fails is no delivery", status == 1 and "at `sendmail`" in said, said)
claim("… and its output is shown", "message" in said.split("exited", 1)[-1], said)
claim("nothing else arrived", len(sink.mails) == 2, len(sink.mails))
for number, (name, (written, sent)) in enumerate(ODD.items(), 3):
    status, said = try_channel(name)
    claim(f"{written} gets a mail, with a strict check of EHLO", status == 0, said + postfix.said())
    arrived = wait_for(lambda: len(sink.mails) == number) and sink.mails[-1]
    claim("… at that address", arrived and arrived[1] == [sent], (arrived or [None] * 2)[1])
    claim("… and it is complete", arrived and b"no avatar has changed" in arrived[2])
online = command("check", "--online", "--config", config)
for name in ("relay", "local"):
    claim(f"`check --online` reaches `{name}`", f"ok   channel `{name}`" in online.stdout, online.stdout)
postfix.stop()
status, said = try_channel("relay")
claim("a stopped relay is reported", status == 1 and "at `connect`" in said, said)
end()
