// The recorded messages for Discord and Teams, read by @discordjs/builders and adaptivecards.
//
// Neither checks Discord's limit of 6000 characters for a message; this file does.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.INTEROP_NODE, 'package.json'));
const { EmbedBuilder } = require('@discordjs/builders');
// The library needs a few names of a browser when it is loaded.
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ style: {}, appendChild() {} }) };
for (const name of ['HTMLElement', 'HTMLInputElement', 'Node']) globalThis[name] ??= class {};
const cards = require('adaptivecards/dist/adaptivecards.js');

let failed = 0;
function claim(text, holds, detail = '') {
  if (!holds) failed += 1;
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${text}`);
  if (!holds && detail) console.log(`     ${detail}`);
}

function complaint(embed) {
  try {
    const { title, description, color, fields, footer, timestamp } = embed;
    new EmbedBuilder()
      .setTitle(title).setDescription(description).setColor(color)
      .addFields(...fields).setFooter(footer).setTimestamp(new Date(timestamp)).toJSON();
    return '';
  } catch (error) {
    return String(error.message);
  }
}

function cardFaults(json) {
  const card = new cards.AdaptiveCard();
  const context = new cards.SerializationContext(cards.Versions.v1_4);
  card.parse(json, context);
  const events = Array.from({ length: context.eventCount }, (_, at) => context.getEventAt(at).message);
  const found = card.validateProperties().validationEvents.map((event) => event.message);
  return [...events, ...found];
}

const { kept } = JSON.parse(readFileSync(join(process.argv[2], 'formats.json'), 'utf8'));
kept.discord.forEach((request, at) => {
  const message = JSON.parse(request.body);
  const [embed] = message.embeds;
  claim(`discord ${at + 1}: the builder accepts the embed`, complaint(embed) === '', complaint(embed));
  claim(`discord ${at + 1}: no user is mentioned`, message.allowed_mentions.parse.length === 0);
  claim(`discord ${at + 1}: it requests the message as the response`, request.path.endsWith('?wait=true'));
  const fields = embed.fields.flatMap(({ name, value }) => [name, value]);
  const all = [embed.title, embed.description, embed.footer.text, ...fields].join('');
  claim(`discord ${at + 1}: it is within the limit of 6000`, all.length <= 6000, all.length);
});
const long = { ...JSON.parse(kept.discord[0].body).embeds[0], title: 'x'.repeat(257) };
claim('discord: a title that is too long would be found', complaint(long) !== '');

kept.teams.forEach((request, at) => {
  const [attachment] = JSON.parse(request.body).attachments;
  const faults = cardFaults(attachment.content);
  claim(`teams ${at + 1}: the card has no fault`, faults.length === 0, faults.join('; '));
  claim(`teams ${at + 1}: it is small enough`, Buffer.byteLength(request.body) < 21000);
});
const odd = { type: 'AdaptiveCard', version: '1.4', body: [{ type: 'NoSuchThing' }] };
claim('teams: an unknown element would be found', cardFaults(odd).length > 0);
process.exit(failed ? 1 : 0);
