// Receives the webhooks of avatar-watch: verifies, stores, answers, and processes afterwards.
//
// A message gets 204 once it is in the table `inbox`. Its id is unique there, so a repeat gets 204
// and no second row. Messages are processed afterwards, from the table, each in one transaction
// that also sets `done_at`. Whenever this program is killed, no message is lost, and none is processed
// twice.
//
// Environment: WEBHOOK_SECRETS (`whsec_…`; several, separated by blanks, during a rotation),
// LISTEN (127.0.0.1:8080), DATABASE (news.db).

import { createServer } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { Webhook } from "standardwebhooks";

const secrets = (process.env.WEBHOOK_SECRETS ?? "").split(/\s+/).filter(Boolean);
if (secrets.length === 0) throw new Error("WEBHOOK_SECRETS is not set");
const hooks = secrets.map((secret) => new Webhook(secret));
const [, host, port] = /^(.*):(\d+)$/.exec(process.env.LISTEN ?? "127.0.0.1:8080");
const BODY_MAX = 1 << 20;
// Operators can send dead letters again for as long as avatar-watch keeps them, 90 days and more.
const KEEP_IDS_S = 100 * 24 * 3600;

const db = new DatabaseSync(process.env.DATABASE ?? "news.db", { timeout: 20_000 });
db.exec(`
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;                -- a message that got 204 survives a power loss
CREATE TABLE IF NOT EXISTS inbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
  id TEXT NOT NULL UNIQUE,                -- the \`webhook-id\`
  body TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  done_at INTEGER);
CREATE INDEX IF NOT EXISTS undone ON inbox(seq) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS avatars(
  id TEXT PRIMARY KEY, status TEXT NOT NULL, sequence INTEGER NOT NULL, changes INTEGER NOT NULL);
`);

// Stores a message, unless it is a repeat.
const keep = db.prepare(
  "INSERT INTO inbox(id, body, received_at) VALUES (?, ?, ?) ON CONFLICT(id) DO NOTHING",
);
const next = db.prepare("SELECT seq, body FROM inbox WHERE done_at IS NULL ORDER BY seq LIMIT 1");
const done = db.prepare("UPDATE inbox SET done_at = ? WHERE seq = ?");
const forget = db.prepare("DELETE FROM inbox WHERE done_at < ?");
const change = db.prepare(`
INSERT INTO avatars(id, status, sequence, changes) VALUES (?, ?, ?, 1)
ON CONFLICT(id) DO UPDATE SET
  status = excluded.status, sequence = excluded.sequence, changes = changes + 1
WHERE excluded.sequence > sequence        -- an older event changes nothing
`);
const now = () => Math.floor(Date.now() / 1000);

// Whether the message is signed with one of the secrets, and at most five minutes old.
function isGenuine(body, headers) {
  return hooks.some((hook) => {
    try {
      hook.verify(body, headers);
      return true;
    } catch {
      return false;
    }
  });
}

// Processes one event; replace it by your own code. Here: a table of the avatars' statuses.
function handle(event) {
  // Unknown types and fields are no error.
  if (event.type.startsWith("avatar.") && "sequence" in event.data) {
    const { avatar, status, sequence } = event.data;
    change.run(avatar.id, status, sequence);
  } else {
    console.log("not about a change of an avatar:", event.type);
  }
}

// Processes the stored messages, oldest first. A message that fails, and all after it, stay. It
// processes one row at a time, so that requests are answered in between.
function work() {
  let row;
  try {
    row = next.get();
    if (row === undefined) {
      forget.run(now() - KEEP_IDS_S);
    } else {
      db.exec("BEGIN IMMEDIATE");
      try {
        handle(JSON.parse(row.body));
        done.run(now(), row.seq);
        db.exec("COMMIT");
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      }
    }
  } catch (error) {
    console.log("will try again:", error.message);
    row = undefined;
  }
  if (row === undefined) schedule(10_000);
  else schedule(0);
}

let timer;
function schedule(wait_ms) {
  clearTimeout(timer);
  timer = setTimeout(work, wait_ms);
}

async function receive(request, answer) {
  if (request.method !== "POST") return answer(405);
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_MAX) return answer(413);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks).toString("utf8");
  if (!isGenuine(body, request.headers)) return answer(401);
  try {
    keep.run(request.headers["webhook-id"], body, now());
  } catch (error) {
    console.log("not stored:", error.message);
    return answer(503); // it will be retried
  }
  answer(204);
  schedule(0);
}

const server = createServer({ requestTimeout: 20_000 }, (request, response) => {
  const answer = (code) => response.writeHead(code).end();
  receive(request, answer).catch(() => response.destroy());
});
server.listen(Number(port), host, () => {
  console.log(`listening on ${server.address().address}:${server.address().port}`);
});
schedule(0);
