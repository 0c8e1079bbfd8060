// The page in Chromium: live updates, links, buttons, dark mode, a phone.
import { createRequire } from "node:module";
import { join } from "node:path";

const { DEMO, PAGE, TOKEN, PICTURES, INTEROP_NODE } = process.env;
const { chromium } = createRequire(join(INTEROP_NODE, "node_modules/"))("playwright-core");

let failed = 0;
const claim = (text, holds, detail = "") => {
  console.log(`${holds ? "ok  " : "FAIL"} ${text}`);
  if (!holds) {
    failed += 1;
    if (detail !== "") console.log(`     ${String(detail).replaceAll("\n", "\n     ")}`);
  }
};

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

// Errors and warnings of the browser, and requests to other hosts.
const complaints = [];
const open = async (options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    const expected = options?.tolerates?.test(message.text());
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1") complaints.push(`requests ${request.url()}`);
  });
  return page;
};
const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });

try {
  // Live updates: avatars settle without a reload.
  const page = await open({ viewport: { width: 1100, height: 900 } });
  await page.goto(DEMO);
  await page.evaluate(() => { globalThis.mark = "not reloaded"; });
  await page.getByText("Live", { exact: true }).waitFor();
  claim("the page shows that it is live", true);
  const settled = page.locator("#finished tbody tr");
  const before = await settled.count();
  await page.waitForFunction(
    (count) => document.querySelectorAll("#finished tbody tr").length > count, before,
    { timeout: 60_000 },
  );
  claim("settled avatars appear on the page", (await settled.count()) > before);
  claim("… without a reload", (await page.evaluate(() => globalThis.mark)) === "not reloaded");
  await page.waitForFunction(() => document.getElementById("announcement").textContent !== "");
  const announced = await page.locator("#announcement").textContent();
  const [, who] = /^(.+) (?:is ready|was refused|failed in training)\.$/.exec(announced) ?? [];
  claim("… and a screen reader announces it", who !== undefined, announced);
  claim("… with the avatar's name", (await page.locator("main a").allTextContents()).includes(who), announced);
  await picture(page, "overview");

  // Opens the page of an avatar, with the keyboard.
  const name = await page.evaluate(() => {
    const link = document.querySelector("#finished tbody a");
    link.focus();
    return link.textContent;
  });
  await page.evaluate(() => {
    // As if time had passed: every live part is replaced.
    for (const it of document.querySelectorAll("[data-live]")) it.append(" ");
  });
  await page.waitForFunction(() => !document.querySelector("#finished").textContent.endsWith(" "));
  claim("the focus stays where it was when the page changes", (await page.evaluate(() => document.activeElement.textContent)) === name);
  await page.keyboard.press("Enter");
  await page.locator("#avatar-title").waitFor();
  claim("a link leads to an avatar's own page", (await page.locator("#avatar-title").textContent()) === name);
  claim("… with a timeline", (await page.locator("svg.timeline rect").count()) >= 2);
  const widths = await page.locator("svg.timeline rect").evaluateAll((all) => all.map((it) => Number(it.getAttribute("width"))));
  claim("… that fills its width", widths.reduce((sum, it) => sum + it, 0) === 10_000, widths);
  await page.locator("#notifications details").first().locator("summary").click();
  claim("… and its notifications", (await page.locator("#notifications details[open] tbody tr").count()) >= 1);
  await picture(page, "avatar");

  // The other daemon: names that are code, and a dead letter.
  const other = await open({
    viewport: { width: 1100, height: 900 },
    httpCredentials: { username: "anyone", password: TOKEN },
    // The browser logs the 401 before it sends the token.
    tolerates: /401 \(Unauthorized\)/,
  });
  await other.goto(PAGE);
  claim("the title is the worst problem", (await other.locator("#summary-title").textContent()).startsWith("Channel "));
  claim("a name that is code is only text", (await other.locator("#finished").textContent()).includes("<img src=x"));
  claim("… and no element", (await other.locator("img").count()) === 0);
  const stateBefore = await other.locator("#findings tbody tr").count();
  await other.locator("#findings button").first().click();
  await other.waitForURL(/\/deliveries\/dlv_[0-9a-z]+$/);
  await other.locator("#delivery .badge.good").waitFor({ timeout: 30_000 });
  claim("a dead letter is sent again by a click", stateBefore === 1);
  await other.goto(PAGE);
  await other.waitForFunction(() => !document.getElementById("findings"), undefined, { timeout: 30_000 });
  claim("… and is no longer a problem", (await other.locator("#summary-title").textContent()) === "Watching works");
  await other.locator("#test-ops").click();
  await other.locator("#test .badge.good").waitFor();
  claim("a channel is tested by a click", true);
  const plain = await open({
    httpCredentials: { username: "anyone", password: "a wrong one" },
    tolerates: /401 \(Unauthorized\)/,
  });
  await plain.goto(PAGE);
  await plain.locator("#test-ops").click();
  await plain.getByText("log in with any user name").waitFor();
  claim("without the token a click does nothing, and the page gives the reason", true);

  // Events that arrive faster than the page can be read again.
  const busy = await open();
  let reads = 0;
  busy.on("request", (request) => { if (request.resourceType() === "fetch") reads += 1; });
  await busy.addInitScript(() => {
    globalThis.EventSource = class extends EventTarget {
      constructor() {
        super();
        globalThis.source = this;
      }
    };
  });
  await busy.goto(PAGE);
  await busy.waitForFunction(() => globalThis.source);
  await Promise.all([
    busy.waitForResponse((answer) => answer.request().resourceType() === "fetch"),
    busy.evaluate(() => {
      for (let count = 0; count < 500; count += 1) source.dispatchEvent(new MessageEvent("attempt"));
    }),
  ]);
  claim("after five hundred events at once, the page is read once", reads === 1, reads);
  await busy.evaluate(() => {
    globalThis.timer = setInterval(() => source.dispatchEvent(new MessageEvent("attempt")), 20);
  });
  await busy.waitForResponse((answer) => answer.request().resourceType() === "fetch", { timeout: 10_000 });
  claim("the page is updated while events keep arriving", true);
  await busy.evaluate(() => clearInterval(globalThis.timer));
  await busy.close();

  // The server stops and starts, also behind a proxy that answers 502 meanwhile.
  const left = await open({ tolerates: /502|ERR_CONNECTION_REFUSED|MIME type/ });
  const stream = "**/api/v1/stream";
  let answers = (route) => route.abort("connectionrefused");
  await left.route(stream, (route) => answers(route));
  await left.goto(PAGE);
  await left.getByText("Disconnected, reconnecting").waitFor();
  claim("without the server the page is not live", true);
  let refused = 0;
  const refusedTwice = new Promise((resolve) => {
    answers = (route) => {
      refused += 1;
      if (refused === 2) resolve();
      return route.fulfill({ status: 502, contentType: "text/html", body: "Bad Gateway" });
    };
  });
  await Promise.race([refusedTwice, left.waitForTimeout(30_000)]);
  claim("the page reconnects after a response that is no stream", refused >= 2, refused);
  answers = (route) => route.continue();
  await left.getByText("Live", { exact: true }).waitFor({ timeout: 30_000 });
  claim("the page is live again when the server is back", true);

  // Dark mode, a phone, no scripts.
  const dark = await open({ colorScheme: "dark", viewport: { width: 1100, height: 900 } });
  await dark.goto(DEMO);
  const back = await dark.evaluate(() => getComputedStyle(document.body).backgroundColor);
  claim("the page is dark in dark mode", back === "rgb(20, 23, 27)", back);
  await picture(dark, "dark");
  const phone = await open({ viewport: { width: 360, height: 740 }, hasTouch: true });
  for (const path of ["/", "/deliveries"]) {
    await phone.goto(`${DEMO}${path}`);
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
    claim(`nothing is wider than 360 pixels at ${path}`, wide <= 360, wide);
  }
  await phone.goto(PAGE);
  claim("… nor a long name", (await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  await phone.goto(DEMO);
  await picture(phone, "phone");
  const bare = await open({ javaScriptEnabled: false });
  await bare.goto(DEMO);
  claim("without scripts it is complete", (await bare.locator("#finished tbody tr").count()) >= 1);

  // Accessibility: contrast, names, order.
  const faults = await page.evaluate(() => {
    const found = [];
    for (const it of document.querySelectorAll("a, button, summary")) {
      if (!it.textContent.trim()) found.push(`no words in ${it.outerHTML}`);
    }
    for (const it of document.querySelectorAll("table")) {
      if (!it.caption) found.push("a table without a caption");
    }
    const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
    if (new Set(ids).size !== ids.length) found.push("an id twice");
    if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
    return found;
  });
  claim("every control has a text, every table a caption", faults.length === 0, faults.join("\n"));
  for (const [scheme, shown] of [["light", page], ["dark", dark]]) {
    await shown.goto(DEMO);
    const poor = await shown.evaluate(() => {
      const parse = (text) => text.match(/[\d.]+/g).map(Number);
      const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((it) => (it /= 255) <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
      };
      const behind = (it) => {
        for (; it; it = it.parentElement) {
          const colour = parse(getComputedStyle(it).backgroundColor);
          if (colour.length === 3 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
      };
      const found = [];
      for (const it of document.querySelectorAll("p, a, th, td, .badge, button, h1, h2, time, caption")) {
        if (!it.textContent.trim()) continue;
        const [one, two] = [light(parse(getComputedStyle(it).color)), light(behind(it))];
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)} for ${it.outerHTML.slice(0, 80)}`);
      }
      return found;
    });
    claim(`the contrast of texts is at least 4.5 to 1, ${scheme}`, poor.length === 0, poor.join("\n"));
  }
  claim("the browser logs no error, and requests nothing from other hosts", complaints.length === 0, complaints.join("\n"));
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
