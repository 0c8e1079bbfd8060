"""The recorded mails, read by Python's own parser.

The folder of the first argument is the one that `record_news.py` wrote to.
"""

import email
import email.policy
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import claim, end
from mails import defects


def text_of(message, subtype):
    part = message.get_body(preferencelist=(subtype,))
    return part.get_content() if part else ""


news = json.loads((Path(sys.argv[1]) / "news.json").read_text("utf-8"))
mails, names = news["mails"], {}
for request in news["requests"]:
    avatar = json.loads(request["body"])["data"]["avatar"]
    names[avatar["id"]] = avatar["name"]
claim("there are three mails", len(mails) == 3, len(mails))
for id, wanted in news["expected"].items():
    about = [mail for mail in mails if id in mail["data"]]
    if not claim(f"one mail is about `{wanted['type']}`", len(about) == 1, len(about)):
        continue
    mail, kind = about[0], wanted["type"]
    raw = mail["data"].encode("latin-1")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    claim(f"{kind}: it was sent over TLS, with the login", mail["tls"] and mail["login"] == news["login"])
    envelope = (mail["from"], mail["to"])
    claim(f"{kind}: the envelope is right", envelope == (news["login"], [news["mailbox"]]), envelope)
    found = defects(message)
    claim(f"{kind}: the parser finds no defect", not found, found)
    addresses = (message["from"].addresses[0].addr_spec, message["to"].addresses[0].addr_spec)
    claim(f"{kind}: its headers name sender and recipient", addresses == (news["login"], news["mailbox"]))
    claim(f"{kind}: it has a date", message["date"].datetime is not None)
    claim(f"{kind}: it is marked as automatic",
          message["auto-submitted"] == "auto-generated", message["auto-submitted"])
    subject, plain, html = message["subject"], text_of(message, "plain"), text_of(message, "html")
    claim(f"{kind}: the subject names the avatar, undamaged", names[id] in subject, subject)
    claim(f"{kind}: there is a text and an HTML part",
          message.get_content_type() == "multipart/alternative" and plain and html)
    claim(f"{kind}: the text names avatar and status", id in plain and wanted["status"] in plain, plain)
    claim(f"{kind}: the HTML names them too", id in html and wanted["status"] in html)
    claim(f"{kind}: the HTML escapes the name", "<Jerry>" not in html)
    longest = max(len(line) for line in raw.split(b"\r\n"))
    claim(f"{kind}: no line is longer than 998 bytes", longest <= 998, longest)
    claim(f"{kind}: every line ends in CRLF", raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r"))
    claim(f"{kind}: it is sent as ASCII", raw.isascii())

for mail in news["conditions"]["mails"]:
    raw = mail["data"].encode("latin-1")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    found = defects(message)
    claim("a mail about a condition has no defect", not found, found)
    claim("… and names the avatar", news["gone"] in message["subject"], message["subject"])
    state = (message["x-avatar-watch-type"], message["x-avatar-watch-state"])
    claim("… and the condition", state == ("avatar.missing", "firing"), state)
    plain, html = text_of(message, "plain"), text_of(message, "html")
    claim("… and says what to do", "What to do" in plain and "What to do" in html, plain)
    claim("… in lines that every server accepts",
          max(len(line) for line in raw.split(b"\r\n")) <= 998 and raw.isascii())

ids = [email.message_from_string(mail["data"])["message-id"] for mail in mails]
form = all(id and id.startswith("<") and id.endswith("@example.com>") for id in ids)
claim("every mail has a Message-ID", form, ids)
claim("… of its own", len(set(ids)) == len(mails), ids)
end()
