"""Addresses of every kind, read by Python's own parser: an address that `check` accepts becomes a
complete mail with the same mailbox in From, To and Reply-To; one that it rejects is named.
"""

import email
import email.policy
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import claim, command, end, work_folder

# As they are written, and as they are sent.
GOOD = {
    "studio@example.com": ("studio", "example.com"),
    '"john doe"@example.com': ("john doe", "example.com"),
    '"john"@example.org': ("john", "example.org"),
    r'"a\"b\\c"@example.com': (r'a"b\c', "example.com"),
    '"a,b"@example.com': ("a,b", "example.com"),
    '"a..b"@docomo.example': ("a..b", "docomo.example"),
    '"<a@b>; (c)"@example.com': ("<a@b>; (c)", "example.com"),
    '" "@example.com': (" ", "example.com"),
    "a!#$%&'*+-/=?^_`{|}~b@example.com": ("a!#$%&'*+-/=?^_`{|}~b", "example.com"),
    "root@[127.0.0.1]": ("root", "[127.0.0.1]"),
    "user@[IPv6:::1]": ("user", "[IPv6:::1]"),
    "user@[2001:db8::1]": ("user", "[IPv6:2001:db8::1]"),
    "studio@bücher.example": ("studio", "xn--bcher-kva.example"),
    "studio@пример.рф": ("studio", "xn--e1afmkfd.xn--p1ai"),
    "jörg@bücher.example": ("jörg", "xn--bcher-kva.example"),
    "名前@example.com": ("名前", "example.com"),
    "a@my_host.local": ("a", "my_host.local"),
}
BAD = [
    "studio", "@example.com", "a@", "a b@example.com", "a..b@example.com", "a@b..c", "a@-b.example",
    "a@127.0.0.1", "a@::1", "a@[]", "a@[300.1.1.1]", '"a@example.com', 'a"b@example.com',
    "Jane <jane@example.com>", "a@example.com, b@example.com", "a" * 65 + "@example.com",
]
VISIBLE = [chr(code) for code in range(32, 127)]


def random_locals(count, dice=random.Random(11)):
    """Quoted local parts of random visible characters."""
    for _ in range(count):
        text = "".join(dice.choice(VISIBLE) for _ in range(dice.randint(1, 30)))
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        yield f'"{quoted}"@example.com', (text, "example.com")


def as_toml(value):
    return json.dumps(value, ensure_ascii=False)


def channel(name, keys):
    lines = [f"{key} = {as_toml(value)}" for key, value in keys.items()]
    return "\n".join([f"[channels.{name}]", 'type = "email"', *lines,
                      f'file = {{ folder = "{name}" }}', ""])


def mailbox(header):
    (address,) = header.addresses
    return address.username, address.domain


def decoded(raw):
    """The message, with its headers read as UTF-8 (RFC 6532)."""
    return email.message_from_string(raw.decode("utf-8"), policy=email.policy.SMTPUTF8)


ground = work_folder()
config = ground / "avatar-watch.toml"
head = '[argil]\napi_key = { env = "ARGIL_API_KEY" }\nbase_url = "http://127.0.0.1:1/v1"\n'
wanted = GOOD | dict(random_locals(60))
recipients = list(wanted)
for name in ("all", *(f"own{number}" for number in range(len(GOOD)))):
    (ground / name).mkdir()
everyone = channel("all", {"from": "watch@example.com", "to": recipients})
owns = [channel(f"own{number}", {"from": address, "reply_to": address, "to": ["a@example.com"]})
        for number, address in enumerate(GOOD)]
config.write_text(head + everyone + "".join(owns), encoding="utf-8")
checked = command("check", "--config", config)
claim("`check` accepts all of them", checked.returncode == 0, checked.stdout + checked.stderr)
result = command("test", "all", "--config", config)
claim("a mail to each is written", result.returncode == 0, result.stdout + result.stderr)
mails = [decoded(file.read_bytes()) for file in (ground / "all").glob("*.eml")]
claim("… one for each address", len(mails) == len(set(wanted.values())), len(mails))
found = {mailbox(mail["to"]) for mail in mails}
claim("… with that address in To", found == set(wanted.values()), found ^ set(wanted.values()))
claim("… and has a text", all(
    "no avatar has changed" in mail.get_body(("plain",)).get_content() for mail in mails
))
for number, (address, expected) in enumerate(GOOD.items()):
    result = command("test", f"own{number}", "--config", config)
    files = list((ground / f"own{number}").glob("*.eml"))
    if claim(f"{address} is accepted as the sender", result.returncode == 0 and len(files) == 1, result.stderr):
        mail = decoded(files[0].read_bytes())
        names = (mailbox(mail["from"]), mailbox(mail["reply-to"]))
        claim("… and is in From and Reply-To", names == (expected, expected), names)
        claim("… and its domain is in Message-ID", mail["message-id"].endswith(f"@{expected[1]}>"), mail["message-id"])
for address in BAD:
    config.write_text(head + channel("all", {"from": address, "to": ["a@example.com"]}), encoding="utf-8")
    refused = command("check", "--config", config)
    claim(f"{address[:40]} is rejected, with its line", refused.returncode == 2
          and "avatar-watch.toml:" in refused.stderr and "channels.all.from" in refused.stderr,
          refused.stdout + refused.stderr)
end()
