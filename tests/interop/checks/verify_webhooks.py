"""The recorded webhook requests, verified by the Standard Webhooks library for Python.

The folder of the first argument is the one that `record_news.py` wrote to.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import claim, end
from standardwebhooks import Webhook, WebhookVerificationError


def rejected(webhook, body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


news = json.loads((Path(sys.argv[1]) / "news.json").read_text("utf-8"))
requests, expected = news["requests"], news["expected"]
webhook, old_webhook = Webhook(news["secret"]), Webhook(news["old_secret"])
claim("there are four requests", len(requests) == 4, len(requests))
verified = []
for number, request in enumerate(requests, start=1):
    body, headers = request["body"], request["headers"]
    try:
        verified.append(webhook.verify(body, headers))
        claim(f"request {number} is signed", True)
    except WebhookVerificationError as error:
        claim(f"request {number} is signed", False, error)
    claim(f"request {number} is signed with the old secret too",
          not rejected(old_webhook, body, headers))
    claim(f"request {number}: a changed body is rejected",
          rejected(webhook, body.replace("TRAINING", "TRAINED", 1), headers))
    claim(f"request {number}: another id is rejected",
          rejected(webhook, body, headers | {"webhook-id": "evt_0"}))
    stranger = Webhook("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    claim(f"request {number}: another secret is rejected", rejected(stranger, body, headers))
    claim(f"request {number} is declared as JSON",
          headers["content-type"].split(";")[0] == "application/json")

for id, wanted in expected.items():
    about = [event for event in verified if event["data"]["avatar"]["id"] == id]
    same = all(
        event["type"] == wanted["type"]
        and event["data"]["previous_status"] == "TRAINING"
        and event["data"]["status"] == wanted["status"]
        and event["data"]["training_observed"] is True
        for event in about
    )
    claim(f"`{wanted['type']}` goes from TRAINING to {wanted['status']}", about and same, about)

sent_away = [kept for kept in requests if news["sent_away"] in kept["body"]]
ids = {kept["headers"]["webhook-id"] for kept in sent_away}
bodies = {kept["body"] for kept in sent_away}
claim("the rejected message was sent again", len(sent_away) == 2, len(sent_away))
claim("… under the same id", len(ids) == 1, ids)
claim("… with the same bytes", len(bodies) == 1, bodies)
ids = {kept["headers"]["webhook-id"] for kept in requests}
claim("the three events have three ids", len(ids) == 3, ids)

for request in news["conditions"]["requests"]:
    event = webhook.verify(request["body"], request["headers"])
    claim("a condition is signed, too, and has its type", event["type"] == "avatar.missing", event)
    data = event["data"]
    claim("… its state, and its avatar",
          (data["state"], data["avatar"]["id"]) == ("firing", news["gone"]), data)
    claim("… with an id of its own", request["headers"]["webhook-id"] not in ids)
end()
