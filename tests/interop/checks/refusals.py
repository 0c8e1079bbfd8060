"""Rejections of real mail servers, and how they are classified: Postfix, Exim and OpenSMTPD over
SMTP; these, msmtp, ssmtp and busybox as `sendmail`.

The packages exclude each other, so all but Postfix are unpacked and run in a mount namespace with
users, `/run` and spools of their own. Each listens on 127.0.0.1 only, has a folder of its own, and is
stopped by its id. Needs root.
"""

import atexit
import json
import os
import pwd
import socket
import subprocess
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
MAIL = Path(os.environ["INTEROP_MAIL"]).resolve()
INSIDE = "AVATAR_WATCH_IN_NAMESPACE"
USERS = ["Debian-exim", "opensmtpd", "opensmtpq"]

if INSIDE not in os.environ:
    accounts = MAIL / "accounts"
    accounts.mkdir(exist_ok=True)
    passwd, group = (Path(f"/etc/{name}").read_text("utf-8") for name in ("passwd", "group"))
    for number, user in enumerate(USERS, 61001):
        if f"\n{user}:" not in passwd:
            passwd += f"{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n"
            group += f"{user}:x:{number}:\n"
    (accounts / "passwd").write_text(passwd, encoding="utf-8")
    (accounts / "group").write_text(group, encoding="utf-8")
    own = f"""mount --bind {accounts}/passwd /etc/passwd && mount --bind {accounts}/group /etc/group &&
        mount -t tmpfs -o mode=755 none /run && mount -t tmpfs -o mode=755 none /var/spool &&
        mount -t tmpfs -o mode=755 none /var/lib && exec "$@" """
    command = ["unshare", "--mount", "sh", "-c", own, "sh", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode)

from ground import LIMIT_S, Daemon, child, claim, end, wait_for, work_folder
from servers import Quiet, serve

libraries = [str(folder) for folder in MAIL.glob("usr/lib/*-linux-gnu")]
os.environ["LD_LIBRARY_PATH"] = ":".join(libraries)
FROM, OTHER = "avatar-watch@example.com", "another@example.com"
GOOD, UNKNOWN, ELSEWHERE = "studio@example.com", "unknown@example.com", "a@elsewhere.example"
BAD_NAME = "bad.example.org"
WAITS, FINAL, ACCEPTED = "stays pending", "is a dead letter", "is delivered"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as talk:
            return talk.recv(100).startswith(b"220 ")
    except OSError:
        return False


def start(name, port, *arguments):
    """Starts a server at that port, until the check ends."""
    log = open(ground / f"{name}.log", "wb")
    server = child(list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    atexit.register(lambda: (server.terminate(), server.wait(timeout=LIMIT_S)))
    said = lambda: (ground / f"{name}.log").read_text("utf-8", "replace")
    claim(f"{name} starts", wait_for(lambda: greets(port)), said())


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def postfix(name, port, restrictions):
    """Postfix in a folder of its own; it discards every mail."""
    folder = ground / name
    for part in ("config", "queue", "data"):
        (folder / part).mkdir(parents=True)
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    write(folder / "config/main.cf", f"""
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.com
mydestination =
mynetworks =
virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{{ {{ {GOOD} = x }} }}
virtual_transport = discard:
default_transport = discard:
smtp_dns_support_level = disabled
smtpd_relay_restrictions = reject_unauth_destination
{restrictions}
""")
    services = ["pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
                "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite",
                "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce",
                "trace unix - - n - 0 bounce", "proxymap unix - - n - - proxymap",
                "error unix - - n - - error", "retry unix - - n - - error",
                "discard unix - - n - - discard", "anvil unix - - n - 1 anvil",
                "postlog unix-dgram n - n - 1 postlogd"]
    write(folder / "config/master.cf", "\n".join([f"127.0.0.1:{port} inet n - n - - smtpd", *services, ""]))
    subprocess.run(["postfix", "-c", folder / "config", "check"], capture_output=True,
                   timeout=LIMIT_S, check=False)
    return folder / "config"


ground = work_folder()
os.chmod(ground, 0o755)
os.chmod(MAIL.parent, 0o755)

# Postfix rejects at RCPT TO by default.
postfix_port = free_port()
postfix_config = postfix("postfix", postfix_port, f"""
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_non_fqdn_helo_hostname,
 check_helo_access inline:{{ {{ {BAD_NAME} = REJECT }} }}
smtpd_sender_restrictions = check_sender_access inline:{{ {{ {OTHER} = REJECT }} }},
 reject_non_fqdn_sender
""")
start("Postfix", postfix_port, "/usr/lib/postfix/sbin/master", "-c", postfix_config, "-d")

# Exim, with the rejections and texts of its default configuration.
exim_port, exim = free_port(), MAIL / "usr/sbin/exim4"
for part in ("spool", "log"):
    (ground / "exim" / part).mkdir(parents=True)
exim_config = write(ground / "exim/exim.conf", f"""
primary_hostname = relay.example.com
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {ground}/exim/spool
log_file_path = {ground}/exim/log/%slog
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
queue_only = true
local_interfaces = 127.0.0.1
helo_verify_hosts =
acl_smtp_helo = helo
acl_smtp_mail = accept
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
helo:
  deny condition = ${{if eq{{$sender_helo_name}}{{{BAD_NAME}}}}}
       message = Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
  accept
rcpt:
  deny senders = {OTHER}
       message = Sender verify failed
  deny domains = !example.com
       message = relay not permitted
  deny local_parts = unknown
       message = Unrouteable address
  accept
begin routers
all:
  driver = accept
  transport = sink
begin transports
sink:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
""")
for part in ("exim", "exim/spool", "exim/log"):
    os.chmod(ground / part, 0o777)
start("Exim", exim_port, exim, "-C", exim_config, "-bdf", "-oX", f"127.0.0.1.{exim_port}",
      "-oP", ground / "exim/pid")

# OpenSMTPD has one text for every mail that no rule accepts.
smtpd_port = free_port()
for path, mode in [("/var/lib/opensmtpd/empty", 0o755), ("/var/spool/smtpd", 0o711)]:
    os.makedirs(path)
    os.chmod(path, mode)
smtpd_config = write(ground / "smtpd.conf", f"""
table virtuals {{ "{GOOD}" = "nobody" }}
listen on 127.0.0.1 port {smtpd_port} hostname relay.example.com
action "sink" mda "cat >/dev/null" virtual <virtuals>
match from any for domain "example.com" action "sink"
""")
start("OpenSMTPD", smtpd_port, MAIL / "usr/sbin/smtpd", "-d", "-f", smtpd_config)

settings, expected = [], []


def channel(what, transport, meaning, said="", to=GOOD, sender=FROM, bounces=None):
    """A channel, and the expected result of a mail through it."""
    name = f"c{len(expected)}"
    bounces = f'bounce_to = "{bounces}"\n' if bounces else ""
    settings.append(f"""
[channels.{name}]
type = "email"
from = "{sender}"
to = ["{to}"]
{bounces}{transport}
""")
    expected.append((name, meaning, said, what))


def smtp(port, hello="watch.example.com"):
    return (f'smtp = {{ host = "127.0.0.1", port = {port}, tls = "none", '
            f'hello_name = "{hello}" }}')


def program(*arguments):
    words = list(map(str, arguments))
    if words[0].startswith(str(MAIL)) and not words[0].endswith("busybox"):
        # It is unpacked, not installed: it needs the libraries beside it, and gets no variables.
        words = ["/usr/bin/env", f"LD_LIBRARY_PATH={os.environ['LD_LIBRARY_PATH']}", *words]
    return f"sendmail = {{ command = {json.dumps(words)} }}"


servers = {"Postfix": postfix_port, "Exim": exim_port, "OpenSMTPD": smtpd_port}
for name, port in servers.items():
    channel(f"{name}, a mail", smtp(port), ACCEPTED)
    channel(f"{name}, a mail with no sender", smtp(port), ACCEPTED, bounces="none")
channel("Postfix, an unknown recipient", smtp(postfix_port), FINAL, "User unknown", to=UNKNOWN)
channel("Postfix, relaying", smtp(postfix_port), WAITS, "Relay access denied", to=ELSEWHERE)
channel("Postfix, the sender", smtp(postfix_port), WAITS, "Sender address rejected", sender=OTHER)
channel("Postfix, the HELO name", smtp(postfix_port, BAD_NAME), WAITS, "Helo command rejected")
channel("Postfix, a HELO name without a dot", smtp(postfix_port, "watch"), WAITS,
        "need fully-qualified hostname")
channel("Exim, an unknown recipient", smtp(exim_port), FINAL, "Unrouteable address", to=UNKNOWN)
channel("Exim, relaying", smtp(exim_port), WAITS, "relay not permitted", to=ELSEWHERE)
channel("Exim, the sender", smtp(exim_port), WAITS, "Sender verify failed", sender=OTHER)
channel("Exim, the HELO name", smtp(exim_port, BAD_NAME), WAITS, "Invalid HELO name")
channel("OpenSMTPD, an unknown recipient", smtp(smtpd_port), FINAL, "5.2.4", to=UNKNOWN)
channel("OpenSMTPD, relaying", smtp(smtpd_port), WAITS, "Invalid recipient", to=ELSEWHERE)

# The same servers behind programs, each with its own errors.
msmtp = [MAIL / "usr/bin/msmtp", "-C", "/dev/null", "--host=127.0.0.1", "--tls=off", "--auth=off"]
to_postfix = [*msmtp, f"--port={postfix_port}", "--domain=watch.example.com"]
write(ground / "ssmtp.conf", f"mailhub=127.0.0.1:{postfix_port}\nhostname=watch.example.com\n"
      "FromLineOverride=YES\n")
ssmtp = [MAIL / "usr/sbin/ssmtp", f"-C{ground}/ssmtp.conf"]
postfix_program = ["/usr/sbin/sendmail", "-C", postfix_config]
exim_program = [exim, "-C", exim_config]
# It writes to the queue with the rights of a group.
smtpctl = ground / "sendmail"
smtpctl.write_bytes((MAIL / "usr/sbin/smtpctl").read_bytes())
os.chown(smtpctl, 0, 61003)
os.chmod(smtpctl, 0o2755)
programs = {
    "msmtp": (to_postfix, "--no-such-option"), "ssmtp": (ssmtp, None),
    "sendmail of Postfix": (postfix_program, "-Z"), "sendmail of Exim": (exim_program, "--no-such"),
    "sendmail of OpenSMTPD": ([smtpctl], "-Z"),
}
for name, (program_of, bad_option) in programs.items():
    channel(f"{name}, a mail", program(*program_of), ACCEPTED)
    channel(f"{name}, a mail with no sender", program(*program_of), ACCEPTED, bounces="none")
    if bad_option:
        channel(f"{name}, an unknown option", program(*program_of, bad_option), WAITS, "option")
for name, program_of in {"msmtp": to_postfix, "ssmtp": ssmtp}.items():
    channel(f"{name}, an unknown recipient", program(*program_of), FINAL, "User unknown", to=UNKNOWN)
    channel(f"{name}, relaying", program(*program_of), WAITS, "Relay access denied", to=ELSEWHERE)
    channel(f"{name}, the sender", program(*program_of), WAITS, "Sender address rejected", sender=OTHER)
channel("sendmail of OpenSMTPD, an unknown recipient", program(smtpctl), FINAL, "5.2.4", to=UNKNOWN)
lost = program(*msmtp, "--port=1", "--host=no-such-host.invalid")
channel("msmtp, an unknown server", lost, WAITS, "cannot locate host")
busybox = program(MAIL / "bin/busybox", "sendmail")
channel("busybox without it", busybox, WAITS, "sendmail: applet not found")
channel("a program without the right to run", program("/bin/sh", "-c", "exit 126"), WAITS)
channel("a missing program", program("/bin/sh", "-c", "no-such-program"), WAITS, "not found")


class Argil(Quiet):
    """The API: one avatar with a training that ends."""

    status = "TRAINING"

    def do_GET(self):
        self.answer_json(200, {"id": "a1", "name": "Jane", "status": Argil.status})


(ground / "mails").mkdir()
server = serve(ThreadingHTTPServer(("127.0.0.1", 0), Argil))
daemon = Daemon(ground, f"""
[argil]
api_key = {{ env = "ARGIL_API_KEY" }}
base_url = "http://127.0.0.1:{server.server_port}/v1"
[poll]
training = {{ min = "50ms", max = "100ms" }}
settled = "100ms"
[web]
listen = "off"
[[avatars]]
id = "a1"
[channels.operators]
type = "email"
from = "{FROM}"
to = ["{GOOD}"]
file = {{ folder = "mails" }}
events = []
operator = true
""" + "".join(settings))
claim("the daemon runs", daemon.runs(), daemon.said())
claim("… and observes the training", wait_for(lambda: daemon.rows("SELECT 1 FROM watches WHERE status IS NOT NULL")))
Argil.status = "IDLE"
attempts = """SELECT d.channel_id, d.state, a.outcome, ifnull(a.error, '') || ' ' || ifnull(a.response_snippet, '')
           FROM deliveries d JOIN attempts a ON a.delivery_id = d.id AND a.no = 1
           WHERE a.finished_at IS NOT NULL AND d.channel_id <> 'operators'"""
wait_for(lambda: len(daemon.rows(attempts)) >= len(expected))
found = {name: row for name, *row in daemon.rows(attempts)}
reasons_by_subject = lambda: {subject.split()[1]: reason for subject, reason in daemon.rows(
    "SELECT subject, reason FROM conditions WHERE kind = 'channel.failing'")}
waiting = {name for name, meaning, _, _ in expected if meaning == WAITS}
wait_for(lambda: waiting <= set(reasons_by_subject()))
reasons = reasons_by_subject()
STATES = {WAITS: "pending", FINAL: "dead", ACCEPTED: "delivered"}
for name, meaning, said, what in expected:
    state, outcome, words = found.get(name, (None, None, ""))
    right = state == STATES[meaning] and said in words
    if meaning == WAITS:
        # Operators are notified at once, with the text of the server.
        right = right and outcome in ("misconfigured", "throttled") and said in (reasons.get(name) or "")
    else:
        right = right and name not in reasons
    claim(f"{what}: {meaning}", right, f"{state} {outcome} {words}\n{reasons.get(name)}")
claim("SIGTERM ends it with 0", daemon.stop() == 0, daemon.said())
end()
