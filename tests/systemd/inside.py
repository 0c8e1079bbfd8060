"""What runs inside of the booted container, as root: the life of the package and of its service.

Each claim is a line, `ok …` or `FAIL …`; the last line says that all was tried.
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
# Waits that a test can wait for; the second credential is one that the config wants.
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


def asked(command, *words):
    said = run("avatar-watch", command, *words, "--database", str(DATABASE), "--json")
    return json.loads(said.stdout) if said.returncode == 0 else []


def changes(avatar):
    return [row["status"] for row in asked("history", avatar)]


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


def take(name, folder=DROP_INS):
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


def seen_by_api():
    before = len(argil.asked)
    return wait_for(lambda: len(argil.asked) > before)


def installed():
    done = run("dpkg", "--install", str(SHARED / "first.deb"))
    claim("the package installs", done.returncode == 0, done.stdout, done.stderr)
    claim("it is switched on", systemctl("is-enabled", UNIT).stdout == "enabled\n")
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
        claim(f"it brings {path}", Path(path).is_file())


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
    claim("and the journal says what is wrong with it", "base_ulr" in journal())


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
    claim("without credentials, it says so", said, journal()[-2000:])
    claim("and is tried again", wait_for(lambda: int(show("NRestarts")) > 0), show("NRestarts"))
    take("zzzz-lxc.conf")
    more = DROP_INS / "zzzz-more.conf"
    more.write_text(QUICK)
    systemctl("daemon-reload")
    fine = wait_for(is_active)
    claim("and starts by the drop-in for such containers", fine, journal()[-2000:])
    systemctl("stop", UNIT)
    for path in (theirs, more, DROP_INS / "zzzz-lxc.conf"):
        path.unlink()
    systemctl("daemon-reload")
    # What comes next begins with nothing.
    systemctl("clean", "--what=state", UNIT)


def is_backed_up_before_its_first_start():
    configure(GOOD)
    done = systemctl("start", BACKUP)
    said = journal_of(BACKUP)
    claim("a backup before the first start ends well", done.returncode == 0, said, done.stderr)
    claim("and says that there is nothing yet", "nothing to back up" in said, said)


def starts():
    configure(GOOD)
    argil.statuses[JANE] = "TRAINING"
    done = systemctl("start", UNIT)
    claim("it starts", done.returncode == 0 and is_active(), done.stderr, journal()[-2000:])
    claim("systemd waited for its readiness", show("Type") == "notify")
    claim("the key came as a credential", wait_for(lambda: argil.keys == {"the-key"}), argil.keys)
    words = ("1 avatar", "1 training", "next poll in", "0 pending", "API ok")
    fine = wait_for(lambda: all(word in show("StatusText") for word in words))
    claim("its status line says how it is", fine, show("StatusText"))
    claim("its user is not root", os.stat(f"/proc/{pid()}").st_uid >= 61184)
    claim("only its user can read its state", mode(STATE) == 0o700 and mode(DATABASE) == 0o600)


def is_killed():
    receiver.refuses = True
    argil.statuses[JANE] = "IDLE"
    claim("a training that ends is seen", wait_for(lambda: "IDLE" in changes(JANE)))
    claim("the receiver refuses the news", wait_for(lambda: receiver.attempts))
    # From here on only the state can know of it.
    argil.statuses[JANE] = "TRAINING"
    old = pid()
    os.kill(old, signal.SIGKILL)
    receiver.refuses = False
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("after kill -9 it is started again", back, show("ActiveState"))
    delivered = wait_for(lambda: any(b'"avatar.ready"' in body for _, body in receiver.taken))
    claim("the earlier change is delivered afterwards", delivered, receiver.attempts)
    ready = {one for one in receiver.attempts if b'"avatar.ready"' in one[1]}
    claim("each time with the same id and the same bytes", len(ready) == 1, ready)


def hangs():
    old, restarts = pid(), int(show("NRestarts"))
    os.kill(old, signal.SIGSTOP)
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("a process that hangs is killed by the watchdog", back, journal()[-2000:])
    claim("and systemd says so", "Watchdog timeout" in journal())
    claim("it was one restart", int(show("NRestarts")) == restarts + 1)
    claim("and it polls again", seen_by_api())
    # Longer than the watchdog: what lives is left alone.
    alive, end = pid(), time.monotonic() + 9
    claim("while it turns, it is left alone", not wait_until(end, lambda: pid() != alive))


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
    claim("a reload is taken", done.returncode == 0, done.stderr)
    claim("and the new avatar is polled", wait_for(lambda: JOHN in argil.asked))
    configure(BOTH.replace("settled", "setled"))
    systemctl("reload", UNIT)
    claim("a bad file is refused aloud", wait_for(lambda: "setled" in journal()))
    claim("and the previous one stays active", is_active() and pid() == old and seen_by_api())
    configure(BOTH)


def drains():
    drop_in("impatient.conf", "[Service]\nTimeoutStopSec=1s\n")
    systemctl("restart", UNIT)
    receiver.gate.clear()
    before = len(receiver.attempts)
    argil.statuses[JOHN] = "REFUSED"
    claim("news is on its way", wait_for(lambda: len(receiver.attempts) > before))
    begun = time.monotonic()
    systemctl("stop", "--no-block", UNIT)
    said = wait_for(lambda: "draining: 1 of 1" in show("StatusText"))
    claim("a stop says what it waits for", said, show("StatusText"))
    ended = wait_until(begun + 4, lambda: show("ActiveState") != "deactivating")
    claim("and outlasts TimeoutStopSec= while it drains", not ended, show("Result"))
    receiver.gate.set()
    wait_for(lambda: show("ActiveState") in ("inactive", "failed"))
    found = (show("ActiveState"), show("Result"), show("ExecMainStatus"))
    claim("then it ends well", found == ("inactive", "success", "0"), found)
    open_ones = [row["state"] for row in asked("deliveries") if row["state"] != "delivered"]
    claim("and the delivery in flight is delivered", not open_ones, open_ones)
    (DROP_INS / "impatient.conf").unlink()
    systemctl("daemon-reload")


def has_a_damaged_database():
    kept = DATABASE.with_suffix(".kept")
    owner = DATABASE.stat()
    DATABASE.rename(kept)
    DATABASE.write_bytes(b"this is no database" * 1000)
    os.chown(DATABASE, owner.st_uid, owner.st_gid)
    start_fails_with("65", "with a damaged database")
    kept.rename(DATABASE)


def waits_for_its_place():
    before = CONFIG.read_text()
    with socket.create_server(("127.0.0.1", 9002)):
        configure(f'{before}[web]\nlisten = "127.0.0.1:9002"\n')
        systemctl("reset-failed", UNIT)
        systemctl("start", UNIT)
        again = wait_for(lambda: show("ExecMainStatus") == "75" and int(show("NRestarts")) > 0)
        claim("a place that is taken: exit status 75, and a restart", again, journal()[-2000:])
    claim("and a start, once it is free", wait_for(is_active), journal()[-2000:])
    systemctl("stop", UNIT)
    configure(before)


def has_a_root_of_its_own():
    shutil.copy("/usr/share/avatar-watch/drop-ins/root-directory.conf", DROP_INS)
    systemctl("daemon-reload")
    systemctl("reset-failed", UNIT)
    done = systemctl("start", UNIT)
    claim("it starts in a root of its own", done.returncode == 0, journal()[-2000:])
    there = run("ls", f"/proc/{pid()}/root/etc").stdout.split()
    claim("which contains no passwords", there and "shadow" not in there, there)
    claim("and it polls from there", seen_by_api())
    done = systemctl("reload", UNIT)
    claim("and takes a reload", done.returncode == 0 and wait_for(is_active), journal()[-2000:])
    before = changes(JANE)
    claim("its history is the same as ever", before[:2] == ["TRAINING", "IDLE"], before)
    (DROP_INS / "root-directory.conf").unlink()
    systemctl("daemon-reload")
    systemctl("restart", UNIT)


def backs_up():
    done = systemctl("start", "avatar-watch-backup.service")
    result = show("Result", "avatar-watch-backup.service")
    copies = list((STATE / "backups").glob("*"))
    claim("the backup's unit makes a copy", done.returncode == 0 and copies, result, journal())
    claim("and takes nothing away from the daemon", is_active() and seen_by_api())


def cron_line():
    """The line that docs/monitoring.md gives, without its times and its user."""
    text = (SHARED / "monitoring.md").read_text("utf-8")
    line = next(line.strip() for line in text.splitlines() if line.startswith("    */5 "))
    user, command = line.split(maxsplit=6)[5:]
    return user, command


def is_checked_by_cron():
    user, command = cron_line()
    claim("the user of the line for cron is always there", run("id", user).returncode == 0, user)

    def said():
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "SHELL": "/bin/sh"}
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True,
                              env=environment, cwd="/root")
        return done.stdout + done.stderr

    argil.statuses[JOHN] = "TRAINING"
    claim("it mails nothing while all is well", wait_for(lambda: said() == ""), said())
    systemctl("stop", UNIT)
    there = sorted(path.name for path in STATE.iterdir())
    found = said()
    claim("and that the daemon is down while it is", "the daemon is not running" in found, found)
    left = sorted(path.name for path in STATE.iterdir())
    claim("and leaves nothing behind", left == there, there, left)
    systemctl("start", UNIT)


def has_a_volume_and_a_user_of_its_own():
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
        take("static-user.conf", BACKUP_DROP_INS)
        done = systemctl("start", BACKUP)
        claim(f"{what}: a copy is made", done.returncode == 0, journal_of(BACKUP)[-2000:])
        shutil.rmtree(BACKUP_DROP_INS)
        systemctl("daemon-reload")
        done = systemctl("start", BACKUP)
        claim(f"{what}: without its drop-in the backup is refused", done.returncode != 0)
        fine = is_active() and pid() == before and DATABASE.is_file() and seen_by_api()
        claim(f"{what}: and takes nothing away from the daemon", fine, journal()[-2000:])
        systemctl("stop", UNIT)

    STATE.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=50m,mode=700", "tmpfs", str(STATE))
    fill(STATE)
    systemctl("start", "--no-block", UNIT)
    refused = wait_for(lambda: show("ExecMainStatus") == "238")
    claim("a volume at its state directory: systemd refuses it (238)", refused, journal()[-500:])
    systemctl("stop", UNIT)
    take("static-user.conf")
    works("a volume")
    run("umount", str(STATE))
    STATE.rmdir()
    goal = Path("/data/aw")
    goal.mkdir(parents=True)
    STATE.symlink_to(goal)
    fill(goal)
    works("a link")
    # The way back: systemd takes what is there for its dynamic user again.
    STATE.unlink()
    (DROP_INS / "static-user.conf").unlink()
    systemctl("daemon-reload")
    shutil.copytree(goal, STATE)
    # What a start that was refused has left.
    shutil.rmtree("/var/lib/private/avatar-watch", ignore_errors=True)
    run("userdel", "avatar-watch")
    done = systemctl("start", UNIT)
    claim("and back to a dynamic user", done.returncode == 0, journal()[-2000:])
    claim("with all that it knew", changes(JANE)[: len(rows)] == rows, changes(JANE))
    # Only one of the two has a user of its own, the other way round.
    run("useradd", "--system", "--home-dir", "/nonexistent", "avatar-watch")
    take("static-user.conf", BACKUP_DROP_INS)
    before = pid()
    done = systemctl("start", BACKUP)
    claim("the drop-in at the backup alone: it fails", done.returncode != 0)
    fine = is_active() and pid() == before and seen_by_api()
    claim("and takes nothing away from the daemon, either", fine, journal()[-2000:])
    shutil.rmtree(BACKUP_DROP_INS)
    run("userdel", "avatar-watch")
    systemctl("daemon-reload")


def is_kept_from_its_name_server():
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
    claim("that it may not ask a name server is in the log", journal().count(word) == before + 1)
    take("link-local-resolver.conf")
    systemctl("restart", UNIT)
    fine = is_active() and journal().count(word) == before + 1
    claim("with the drop-in it may", fine, journal()[-1000:])
    (DROP_INS / "link-local-resolver.conf").unlink()
    systemctl("daemon-reload")


def waits_for_its_volume():
    """A mount unit without other dependents: the daemon needs what is mounted in its state."""
    systemctl("stop", UNIT)
    place = Path("/var/lib/private/avatar-watch")
    unit = Path("/etc/systemd/system/var-lib-private-avatar\\x2dwatch.mount")
    unit.write_text(f"[Mount]\nWhat=tmpfs\nWhere={place}\nType=tmpfs\nOptions=size=50m,mode=700\n")
    systemctl("daemon-reload")
    done = systemctl("start", UNIT)
    claim("it starts on a volume in its place", done.returncode == 0, journal()[-2000:])
    claim("which was mounted before", place.is_mount() and seen_by_api())
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
    claim("and afterwards has its old state", "TRAINING" in changes(JANE), done.stderr)


def is_upgraded():
    old, rows = pid(), changes(JANE)
    done = run("dpkg", "--install", str(SHARED / "second.deb"))
    claim("an upgrade installs", done.returncode == 0, done.stdout, done.stderr)
    back = wait_for(lambda: is_active() and pid() not in (0, old))
    claim("it restarts what runs", back, show("ActiveState"))
    claim("and polls again", seen_by_api())
    claim("with all that it knew", changes(JANE)[: len(rows)] == rows, changes(JANE))


def is_removed():
    done = run("dpkg", "--remove", "avatar-watch")
    claim("a removal goes through", done.returncode == 0, done.stdout, done.stderr)
    claim("it stops the service", show("ActiveState") != "active")
    claim("the unit is gone", show("LoadState") in ("not-found", "masked"), show("LoadState"))
    claim("the state stays", DATABASE.is_file())
    claim("and so do config and credentials", CONFIG.is_file() and KEY.is_file())
    # A volume on top of it all, and one inside: a purge empties what it cannot remove.
    inner = Path("/var/lib/private/avatar-watch/backups")
    inner.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", str(inner))
    (inner / "copy.db").write_text("")
    done = run("dpkg", "--purge", "avatar-watch")
    claim("a purge with a volume in the state goes through", done.returncode == 0, done.stderr)
    claim("it says what stays", "stays: something is mounted there" in done.stderr, done.stderr)
    status = run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "avatar-watch").stdout
    claim("and the package is gone", not status.strip() or status.startswith("un"), status)
    claim("as is what was in it", not any(inner.iterdir()))
    run("umount", str(inner))
    run("dpkg", "--install", str(SHARED / "first.deb"))
    run("dpkg", "--remove", "avatar-watch")
    done = run("dpkg", "--purge", "avatar-watch")
    claim("a purge goes through", done.returncode == 0, done.stdout, done.stderr)
    left = [path for path in (STATE, Path("/var/lib/private/avatar-watch"), CONFIG.parent)
            if path.exists() or path.is_symlink()]
    claim("and leaves no state, config or credential", not left, left)
    left = run("find", "/etc/systemd", "-name", "avatar-watch*", "-not", "-path", f"{DROP_INS}*")
    claim("nor a unit that is switched on", not left.stdout, left.stdout)


argil, receiver = Argil(9000), Receiver(9001)
version = systemctl("--version").stdout.splitlines()[0]
print(f"under {version}")
installed()
refuses_to_start()
has_no_credentials_at_all()
is_backed_up_before_its_first_start()
starts()
is_killed()
hangs()
reloads()
drains()
has_a_damaged_database()
waits_for_its_place()
has_a_root_of_its_own()
backs_up()
is_checked_by_cron()
has_a_volume_and_a_user_of_its_own()
waits_for_its_volume()
is_kept_from_its_name_server()
is_upgraded()
is_removed()
print("all was tried")
sys.exit(0)
