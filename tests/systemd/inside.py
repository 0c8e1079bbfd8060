"""Runs inside the booted container, as root: installs, starts, kills, stops, upgrades and purges.

Each claim is a line, `ok …` or `FAIL …`; the last line is `all checks ran`.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

from argil import Argil, Receiver

SHARED = Path("/shared")
UNIT = "avatar-watch.service"
CONFIG = Path("/etc/avatar-watch/config.toml")
KEY = Path("/etc/avatar-watch/credentials/argil-api-key")
SECRET = Path("/etc/avatar-watch/credentials/ops-secret")
BACKUP = "avatar-watch-backup.service"
DROP_INS = Path("/etc/systemd/system/avatar-watch.service.d")
BACKUP_DROP_INS = Path(f"/etc/systemd/system/{BACKUP}.d")
SHIPPED = Path("/usr/share/avatar-watch/drop-ins")
STATE = Path("/var/lib/avatar-watch")
DATABASE = STATE / "avatar-watch.db"
JANE = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
JOHN = "3c90c3cc-0d44-4b50-8888-8dd25736052b"
LIMIT_S = 60

GOOD = f"""
[argil]
api_key = {{ credential = "argil-api-key" }}
base_url = "http://127.0.0.1:9000/v1"
[poll]
training = {{ min = "1s", max = "1s" }}
settled = "2s"
[channels.ops]
type = "webhook"
url = "http://127.0.0.1:9001/hook"
secret = {{ credential = "ops-secret" }}
retry_schedule = ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
[[avatars]]
id = "{JANE}"
"""
BOTH = f'{GOOD}[[avatars]]\nid = "{JOHN}"\n'
# Short delays for a test, and the second credential that the config needs.
QUICK = """
[Service]
LoadCredential=ops-secret:/etc/avatar-watch/credentials/ops-secret
RestartSec=1s
WatchdogSec=6s
"""


def claim(text, fact, *context):
    print(f"{'ok  ' if fact else 'FAIL'} {text}")
    for piece in context if not fact else ():
        print(f"     {piece}")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def systemctl(*words):
    return run("systemctl", *words)


def show(name, unit=UNIT):
    return systemctl("show", "--value", "--property", name, unit).stdout.strip()


def is_active():
    return show("ActiveState") == "active"


def pid():
    return int(show("MainPID"))


def wait_for(fact):
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.05)
    return False


def journal():
    return run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT).stdout


def read(command, *words):
    done = run("avatar-watch", command, *words, "--database", str(DATABASE), "--json")
    return json.loads(done.stdout) if done.returncode == 0 else []


def changes(avatar):
    return [row["status"] for row in read("history", avatar)]


def configure(text):
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(text, "utf-8")
    CONFIG.chmod(0o644)


def drop_in(name, text):
    DROP_INS.mkdir(exist_ok=True)
    (DROP_INS / name).write_text(text)
    systemctl("daemon-reload")


def journal_of(unit):
    return run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout


def activate(name, folder=DROP_INS):
    folder.mkdir(exist_ok=True)
    shutil.copy(SHIPPED / name, folder)
    systemctl("daemon-reload")


def start_fails_with(code, text):
    systemctl("reset-failed", UNIT)
    systemctl("start", UNIT)
    wait_for(lambda: show("ActiveState") == "failed")
    found = (show("ActiveState"), show("ExecMainStatus"), show("NRestarts"))
    claim(f"{text}: exit status {code}, and no restart", found == ("failed", code, "0"), found)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def polls():
    before = len(argil.polled)
    return wait_for(lambda: len(argil.polled) > before)


def installed():
    done = run("dpkg", "--install", str(SHARED / "first.deb"))
    claim("the package installs", done.returncode == 0, done.stdout, done.stderr)
    claim("the unit is enabled", systemctl("is-enabled", UNIT).stdout == "enabled\n")
    claim("and not started, since there is no config", show("ActiveState") == "inactive")
    claim("only root may read the credentials", mode(KEY.parent) == 0o700)
    timer = show("ActiveState", "avatar-watch-backup.timer")
    claim("the timer of the backup runs", timer == "active", timer)
    for path in [
        "/usr/share/man/man8/avatar-watch.8.gz",
        "/usr/share/man/man8/avatar-watch-run.8.gz",
        "/usr/share/man/man5/avatar-watch.toml.5.gz",
        "/usr/share/bash-completion/completions/avatar-watch",
        "/usr/share/doc/avatar-watch/config.example.toml",
        "/usr/share/doc/avatar-watch/copyright",
        "/usr/share/avatar-watch/drop-ins/notify-reload.conf",
    ]:
        claim(f"the package contains {path}", Path(path).is_file())


def refuses_to_start():
    drop_in("quick.conf", QUICK)
    start_fails_with("243", "without a credential")
    KEY.write_text("the-key\n")
    SECRET.write_text(run("avatar-watch", "secret").stdout)
    KEY.chmod(0o600)
    SECRET.chmod(0o600)
    start_fails_with("78", "without a config")
    configure(GOOD.replace("base_url", "base_ulr"))
    start_fails_with("78", "with a wrong config")
    claim("and the journal names the problem", "base_ulr" in journal())


def has_no_credentials_at_all():
    """As in a container of LXC, with a generator that empties `LoadCredential=` of every service."""
    configure(GOOD)
    theirs = Path("/run/systemd/system/service.d/zzz-lxc-service.conf")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[Service]\nLoadCredential=\nProtectProc=default\nProcSubset=all\n"
                      "NoNewPrivileges=no\n")
    systemctl("daemon-reload")
    systemctl("start", "--no-block", UNIT)
    said = wait_for(lambda: "systemd handed over none at all" in journal())
    claim("without credentials, the journal reports it", said, journal()[-2000:])
    claim("and systemd restarts it", wait_for(lambda: int(show("NRestarts")) > 0), show("NRestarts"))
    activate("zzzz-lxc.conf")
    more = DROP_INS / "zzzz-more.conf"
    more.write_text(QUICK)
    systemctl("daemon-reload")
    fine = wait_for(is_active)
    claim("and starts by the drop-in for such containers", fine, journal()[-2000:])
    systemctl("stop", UNIT)
    for path in (theirs, more, DROP_INS / "zzzz-lxc.conf"):
        path.unlink()
    systemctl("daemon-reload")
    # The next check begins without a state directory.
    systemctl("clean", "--what=state", UNIT)


def is_backed_up_before_its_first_start():
    configure(GOOD)
    done = systemctl("start", BACKUP)
    said = journal_of(BACKUP)
    claim("a backup before the first start succeeds", done.returncode == 0, said, done.stderr)
    claim("and reports that there is nothing yet", "nothing to back up" in said, said)


def starts():
    configure(GOOD)
    argil.statuses[JANE] = "TRAINING"
    done = systemctl("start", UNIT)
    claim("it starts", done.returncode == 0 and is_active(), done.stderr, journal()[-2000:])
    claim("systemd waited for its readiness", show("Type") == "notify")
    claim("the key came as a credential", wait_for(lambda: argil.keys == {"the-key"}), argil.keys)
    words = ("1 avatar", "1 training", "next poll in", "0 pending", "API ok")
    fine = wait_for(lambda: all(word in show("StatusText") for word in words))
    claim("its status line is complete", fine, show("StatusText"))
    claim("its user is not root", os.stat(f"/proc/{pid()}").st_uid >= 61184)
    claim("only its user can read its state", mode(STATE) == 0o700 and mode(DATABASE) == 0o600)


def is_killed():
    receiver.refuses = True
    argil.statuses[JANE] = "IDLE"
    claim("the end of a training is observed", wait_for(lambda: "IDLE" in changes(JANE)))
    claim("the receiver rejects the message", wait_for(lambda: receiver.attempts))
    # From now on only the database has that change.
    argil.statuses[JANE] = "TRAINING"
    old = pid()
    os.kill(old, signal.SIGKILL)
    receiver.refuses = False
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("after kill -9 it is restarted", back, show("ActiveState"))
    delivered = wait_for(lambda: any(b'"avatar.ready"' in body for _, body in receiver.accepted))
    claim("the earlier change is delivered afterwards", delivered, receiver.attempts)
    ready = {one for one in receiver.attempts if b'"avatar.ready"' in one[1]}
    claim("each time with the same id and the same bytes", len(ready) == 1, ready)


def stalls():
    old, restarts = pid(), int(show("NRestarts"))
    os.kill(old, signal.SIGSTOP)
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("a stalled process is killed by the watchdog", back, journal()[-2000:])
    claim("and systemd reports it", "Watchdog timeout" in journal())
    claim("it was one restart", int(show("NRestarts")) == restarts + 1)
    claim("and it polls again", polls())
    # Longer than the watchdog: a process that makes progress is not killed.
    alive, end = pid(), time.monotonic() + 9
    claim("while it makes progress, it is not killed", not wait_until(end, lambda: pid() != alive))


def wait_until(end, fact):
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.05)
    return False


def reloads():
    old = pid()
    argil.statuses[JOHN] = "TRAINING"
    configure(BOTH)
    done = systemctl("reload", UNIT)
    claim("a reload succeeds", done.returncode == 0, done.stderr)
    claim("and the new avatar is polled", wait_for(lambda: JOHN in argil.polled))
    configure(BOTH.replace("settled", "setled"))
    systemctl("reload", UNIT)
    claim("an invalid config is rejected in the journal", wait_for(lambda: "setled" in journal()))
    claim("and the previous config stays active", is_active() and pid() == old and polls())
    configure(BOTH)


def drains():
    drop_in("short-stop.conf", "[Service]\nTimeoutStopSec=1s\n")
    systemctl("restart", UNIT)
    receiver.gate.clear()
    before = len(receiver.attempts)
    argil.statuses[JOHN] = "REFUSED"
    claim("a delivery is in flight", wait_for(lambda: len(receiver.attempts) > before))
    begun = time.monotonic()
    systemctl("stop", "--no-block", UNIT)
    said = wait_for(lambda: "draining: 1 of 1" in show("StatusText"))
    claim("a stop reports what it waits for", said, show("StatusText"))
    ended = wait_until(begun + 4, lambda: show("ActiveState") != "deactivating")
    claim("and outlasts TimeoutStopSec= while it drains", not ended, show("Result"))
    receiver.gate.set()
    wait_for(lambda: show("ActiveState") in ("inactive", "failed"))
    found = (show("ActiveState"), show("Result"), show("ExecMainStatus"))
    claim("then it stops with exit status 0", found == ("inactive", "success", "0"), found)
    undelivered = [row["state"] for row in read("deliveries") if row["state"] != "delivered"]
    claim("and the delivery in flight is delivered", not undelivered, undelivered)
    (DROP_INS / "short-stop.conf").unlink()
    systemctl("daemon-reload")


def has_a_damaged_database():
    kept = DATABASE.with_suffix(".kept")
    owner = DATABASE.stat()
    DATABASE.rename(kept)
    DATABASE.write_bytes(b"this is no database" * 1000)
    os.chown(DATABASE, owner.st_uid, owner.st_gid)
    start_fails_with("65", "with a damaged database")
    kept.rename(DATABASE)


def waits_for_its_listen_address():
    before = CONFIG.read_text()
    with socket.create_server(("127.0.0.1", 9002)):
        configure(f'{before}[web]\nlisten = "127.0.0.1:9002"\n')
        systemctl("reset-failed", UNIT)
        systemctl("start", UNIT)
        again = wait_for(lambda: show("ExecMainStatus") == "75" and int(show("NRestarts")) > 0)
        claim("listen address in use: exit status 75, and a restart", again, journal()[-2000:])
    claim("and a start, once the address is free", wait_for(is_active), journal()[-2000:])
    systemctl("stop", UNIT)
    configure(before)


def has_a_root_directory():
    shutil.copy("/usr/share/avatar-watch/drop-ins/root-directory.conf", DROP_INS)
    systemctl("daemon-reload")
    systemctl("reset-failed", UNIT)
    done = systemctl("start", UNIT)
    claim("it starts in a root directory of its own", done.returncode == 0, journal()[-2000:])
    there = run("ls", f"/proc/{pid()}/root/etc").stdout.split()
    claim("which contains no passwords", there and "shadow" not in there, there)
    claim("and it polls from there", polls())
    done = systemctl("reload", UNIT)
    claim("and a reload succeeds", done.returncode == 0 and wait_for(is_active), journal()[-2000:])
    before = changes(JANE)
    claim("its history is unchanged", before[:2] == ["TRAINING", "IDLE"], before)
    (DROP_INS / "root-directory.conf").unlink()
    systemctl("daemon-reload")
    systemctl("restart", UNIT)


def backs_up():
    done = systemctl("start", "avatar-watch-backup.service")
    result = show("Result", "avatar-watch-backup.service")
    copies = list((STATE / "backups").glob("*"))
    claim("the unit of the backup makes a backup", done.returncode == 0 and copies, result, journal())
    claim("and the daemon keeps its files", is_active() and polls())


def cron_line():
    """User and command of the line in docs/monitoring.md."""
    text = (SHARED / "monitoring.md").read_text("utf-8")
    line = next(line.strip() for line in text.splitlines() if line.startswith("    */5 "))
    user, command = line.split(maxsplit=6)[5:]
    return user, command


def is_checked_by_cron():
    user, command = cron_line()
    claim("the user of the line for cron exists", run("id", user).returncode == 0, user)

    def output():
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "SHELL": "/bin/sh"}
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True,
                              env=environment, cwd="/root")
        return done.stdout + done.stderr

    argil.statuses[JOHN] = "TRAINING"
    claim("cron mails nothing while the daemon runs", wait_for(lambda: output() == ""), output())
    systemctl("stop", UNIT)
    there = sorted(path.name for path in STATE.iterdir())
    found = output()
    claim("and mails that the daemon is down", "The daemon is not running" in found, found)
    left = sorted(path.name for path in STATE.iterdir())
    claim("and leaves nothing behind", left == there, there, left)
    systemctl("start", UNIT)


def has_a_volume_and_a_static_user():
    """A mounted state directory, then one that is a link; each with the drop-in for both units."""
    systemctl("stop", UNIT)
    rows = changes(JANE)
    run("useradd", "--system", "--home-dir", "/nonexistent", "avatar-watch")
    kept = Path("/kept")
    shutil.copytree(STATE, kept)
    STATE.unlink()
    shutil.rmtree("/var/lib/private/avatar-watch")

    def fill(place):
        for path in kept.iterdir():
            if path.is_file():
                shutil.copy(path, place)
        run("chown", "-R", "avatar-watch:", str(place))

    def works(what):
        systemctl("reset-failed", UNIT, BACKUP)
        done = systemctl("start", UNIT)
        claim(f"{what}: it starts by the drop-in", done.returncode == 0, journal()[-2000:])
        claim(f"{what}: with all that it knew", changes(JANE)[: len(rows)] == rows, changes(JANE))
        before = pid()
        activate("static-user.conf", BACKUP_DROP_INS)
        done = systemctl("start", BACKUP)
        claim(f"{what}: a copy is made", done.returncode == 0, journal_of(BACKUP)[-2000:])
        shutil.rmtree(BACKUP_DROP_INS)
        systemctl("daemon-reload")
        done = systemctl("start", BACKUP)
        claim(f"{what}: without its drop-in the backup is refused", done.returncode != 0)
        fine = is_active() and pid() == before and DATABASE.is_file() and polls()
        claim(f"{what}: and the daemon keeps its files", fine, journal()[-2000:])
        systemctl("stop", UNIT)

    STATE.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=50m,mode=700", "tmpfs", str(STATE))
    fill(STATE)
    systemctl("start", "--no-block", UNIT)
    refused = wait_for(lambda: show("ExecMainStatus") == "238")
    claim("a volume at its state directory: systemd refuses it (238)", refused, journal()[-500:])
    systemctl("stop", UNIT)
    activate("static-user.conf")
    works("a volume")
    run("umount", str(STATE))
    STATE.rmdir()
    goal = Path("/data/aw")
    goal.mkdir(parents=True)
    STATE.symlink_to(goal)
    fill(goal)
    works("a link")
    # Back to a dynamic user: systemd uses the files again.
    STATE.unlink()
    (DROP_INS / "static-user.conf").unlink()
    systemctl("daemon-reload")
    shutil.copytree(goal, STATE)
    # A failed start has left it.
    shutil.rmtree("/var/lib/private/avatar-watch", ignore_errors=True)
    run("userdel", "avatar-watch")
    done = systemctl("start", UNIT)
    claim("and back to a dynamic user", done.returncode == 0, journal()[-2000:])
    claim("with its history", changes(JANE)[: len(rows)] == rows, changes(JANE))
    # Only the backup has the drop-in.
    run("useradd", "--system", "--home-dir", "/nonexistent", "avatar-watch")
    activate("static-user.conf", BACKUP_DROP_INS)
    before = pid()
    done = systemctl("start", BACKUP)
    claim("the drop-in at the backup alone: it fails", done.returncode != 0)
    fine = is_active() and pid() == before and polls()
    claim("and the daemon keeps its files, too", fine, journal()[-2000:])
    shutil.rmtree(BACKUP_DROP_INS)
    run("userdel", "avatar-watch")
    systemctl("daemon-reload")


def has_a_blocked_name_server():
    """One at a link-local address, as some clouds have it."""
    server = "169.254.169.253"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFADDR, of a second name of the loopback interface.
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(server))
        fcntl.ioctl(any_socket, 0x8916, struct.pack("16s16s", b"lo:1", address))
    resolv = Path("/etc/resolv.conf")
    resolv.unlink(missing_ok=True)
    resolv.write_text(f"nameserver {server}\n")
    word = f"name server `{server}` in `/etc/resolv.conf` is blocked"
    before = journal().count(word)
    systemctl("restart", UNIT)
    claim("the log reports a blocked name server", journal().count(word) == before + 1)
    activate("link-local-resolver.conf")
    systemctl("restart", UNIT)
    fine = is_active() and journal().count(word) == before + 1
    claim("with the drop-in it is not blocked", fine, journal()[-1000:])
    (DROP_INS / "link-local-resolver.conf").unlink()
    systemctl("daemon-reload")


def waits_for_its_volume():
    """A mount unit without other dependents: the daemon needs the volume of its state directory."""
    systemctl("stop", UNIT)
    path = Path("/var/lib/private/avatar-watch")
    unit = Path("/etc/systemd/system/var-lib-private-avatar\\x2dwatch.mount")
    unit.write_text(f"[Mount]\nWhat=tmpfs\nWhere={path}\nType=tmpfs\nOptions=size=50m,mode=700\n")
    systemctl("daemon-reload")
    done = systemctl("start", UNIT)
    claim("it starts on a volume at its state directory", done.returncode == 0, journal()[-2000:])
    claim("which was mounted before", path.is_mount() and polls())
    systemctl("stop", UNIT)
    systemctl("stop", unit.name)
    unit.write_text(unit.read_text().replace("What=tmpfs\n", "What=/none\n")
                    .replace("Type=tmpfs", "Type=ext4").replace("size=50m,mode=700", "ro"))
    systemctl("daemon-reload")
    done = systemctl("start", UNIT)
    claim("without the volume it does not start", done.returncode != 0 and not is_active())
    unit.unlink()
    systemctl("daemon-reload")
    systemctl("reset-failed", UNIT)
    done = systemctl("start", UNIT)
    claim("and afterwards has its old database", "TRAINING" in changes(JANE), done.stderr)


def is_upgraded():
    old, rows = pid(), changes(JANE)
    done = run("dpkg", "--install", str(SHARED / "second.deb"))
    claim("an upgrade installs", done.returncode == 0, done.stdout, done.stderr)
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("the running daemon is restarted", back, show("ActiveState"))
    claim("and polls again", polls())
    claim("with its history", changes(JANE)[: len(rows)] == rows, changes(JANE))


def is_removed():
    done = run("dpkg", "--remove", "avatar-watch")
    claim("a removal succeeds", done.returncode == 0, done.stdout, done.stderr)
    claim("it stops the service", show("ActiveState") != "active")
    claim("the unit is gone", show("LoadState") in ("not-found", "masked"), show("LoadState"))
    claim("the state directory stays", DATABASE.is_file())
    claim("and so do config and credentials", CONFIG.is_file() and KEY.is_file())
    # With a volume inside: a purge empties what it cannot remove.
    inner = Path("/var/lib/private/avatar-watch/backups")
    inner.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", str(inner))
    (inner / "copy.db").write_text("")
    done = run("dpkg", "--purge", "avatar-watch")
    claim("a purge with a volume in the state directory succeeds", done.returncode == 0, done.stderr)
    claim("it reports what stays", "stays: something is mounted there" in done.stderr, done.stderr)
    status = run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "avatar-watch").stdout
    claim("and the package is gone", not status.strip() or status.startswith("un"), status)
    claim("and the volume is empty", not any(inner.iterdir()))
    run("umount", str(inner))
    run("dpkg", "--install", str(SHARED / "first.deb"))
    run("dpkg", "--remove", "avatar-watch")
    done = run("dpkg", "--purge", "avatar-watch")
    claim("a purge succeeds", done.returncode == 0, done.stdout, done.stderr)
    left = [path for path in (STATE, Path("/var/lib/private/avatar-watch"), CONFIG.parent)
            if path.exists() or path.is_symlink()]
    claim("and leaves no state, config or credential", not left, left)
    left = run("find", "/etc/systemd", "-name", "avatar-watch*", "-not", "-path", f"{DROP_INS}*")
    claim("nor an enabled unit", not left.stdout, left.stdout)


argil, receiver = Argil(9000), Receiver(9001)
version = systemctl("--version").stdout.splitlines()[0]
print(f"under {version}")
installed()
refuses_to_start()
has_no_credentials_at_all()
is_backed_up_before_its_first_start()
starts()
is_killed()
stalls()
reloads()
drains()
has_a_damaged_database()
waits_for_its_listen_address()
has_a_root_directory()
backs_up()
is_checked_by_cron()
has_a_volume_and_a_static_user()
waits_for_its_volume()
has_a_blocked_name_server()
is_upgraded()
is_removed()
print("all checks ran")
sys.exit(0)
