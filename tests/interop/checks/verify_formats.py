"""The recorded messages of each format, read by third-party libraries.

CloudEvents by `cloudevents`, its signature by `standardwebhooks`, Slack's blocks by `slack_sdk`.
Limits that these do not check, and those of ntfy, which has no such library, are in this file.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from cloudevents.v1.http import from_http
from ground import claim, end
from slack_sdk.models.blocks import Block
from standardwebhooks import Webhook, WebhookVerificationError

record = json.loads((Path(sys.argv[1]) / "formats.json").read_text("utf-8"))
kept, webhook = record["kept"], Webhook(record["secret"])


def verified(request):
    try:
        webhook.verify(request["body"], request["headers"])
    except WebhookVerificationError:
        return False
    return True


def complaint(block):
    """The error of slack_sdk about a block; it returns `None` for an unknown type."""
    try:
        parsed = Block.parse(block)
        if parsed is None:
            return "unknown type"
        parsed.validate_json()
    except Exception as error:
        return repr(error)
    return None


types = set()
for number, request in enumerate(kept["cloudevents"], start=1):
    event = from_http(request["headers"], request["body"])
    types.add(event["type"])
    claim(f"cloudevents {number}: the library reads it", event["specversion"] == "1.0")
    claim(f"cloudevents {number}: its id is the webhook-id",
          event["id"] == request["headers"]["webhook-id"])
    claim(f"cloudevents {number}: it comes from the source", event["source"] == "urn:interop:here")
    claim(f"cloudevents {number}: its subject is the avatar",
          event["subject"] == event.data["avatar"]["id"])
    claim(f"cloudevents {number}: it is signed", verified(request))
names = {event["name"] for event in (json.loads(r["body"])["data"]["avatar"] for r in kept["cloudevents"])}
# The daemon truncates very long names when it reads them, for every format.
wanted = {name for _, name in record["avatars"].values()}
claim("cloudevents: every name arrives unchanged", all(
    name in names if len(name) < 500 else any(name.startswith(it) for it in names if it)
    for name in wanted
), names)
claim("cloudevents: every type of event is there", types == {
    "avatar.ready", "avatar.training_failed", "avatar.refused", "avatar.status_changed",
    "avatar.missing", "avatar.status_unrecognized",
}, types)

for number, request in enumerate(kept["slack"], start=1):
    message = json.loads(request["body"])
    found = [complaint(block) for block in message["blocks"]]
    claim(f"slack {number}: slack_sdk finds no error", not any(found), found)
    texts = [field["text"] for block in message["blocks"] for field in block.get("fields", [])]
    claim(f"slack {number}: no field is too long", all(0 < len(text) <= 2000 for text in texts))
    claim(f"slack {number}: no user is mentioned", "<" not in request["body"])
header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
claim("slack: a header that is too long would be found", complaint(header) is not None)

for number, request in enumerate(kept["ntfy"], start=1):
    message = json.loads(request["body"])
    claim(f"ntfy {number}: it goes to the root, with its topic",
          (request["path"], message["topic"]) == ("/", "ntfy"))
    claim(f"ntfy {number}: it is no attachment", 0 < len(message["message"].encode()) <= 4096)
    claim(f"ntfy {number}: it has a priority", message["priority"] in range(1, 6))

for number, request in enumerate(kept["template"], start=1):
    message = json.loads(request["body"])
    claim(f"template {number}: its values are values",
          isinstance(message["body"], dict) and message["n"][0] == 1)
end()
