// The recorded webhook requests, verified by the Standard Webhooks library for JavaScript.
//
// The folder of the first argument is the one that `record_news.py` wrote to; INTEROP_NODE is
// where the library is installed.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.INTEROP_NODE, "package.json"));
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

let failed = 0;
function claim(text, holds) {
  failed += holds ? 0 : 1;
  console.log(`${holds ? "ok  " : "FAIL"} ${text}`);
}

function isAccepted(webhook, body, headers) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch (error) {
    // Any other error is a bug of this script, not a rejection.
    if (!(error instanceof WebhookVerificationError)) throw error;
    return false;
  }
}

const news = JSON.parse(readFileSync(join(process.argv[2], "news.json"), "utf8"));
const webhook = new Webhook(news.secret);
const oldWebhook = new Webhook(news.old_secret);
claim("there are four requests", news.requests.length === 4);
news.requests.forEach(({ body, headers }, index) => {
  const request = `request ${index + 1}`;
  const changed = body.replace("TRAINING", "TRAINED");
  claim(`${request} is signed`, isAccepted(webhook, body, headers));
  claim(`${request} is signed with the old secret too`, isAccepted(oldWebhook, body, headers));
  claim(`${request}: a changed body is rejected`, !isAccepted(webhook, changed, headers));
  claim(`${request}: another id is rejected`, !isAccepted(webhook, body, { ...headers, "webhook-id": "evt_0" }));
});
process.exit(failed ? 1 : 0);
