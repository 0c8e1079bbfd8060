// Keeps the page live: what happened is streamed, and then the page is read again and what
// changed in it is put in place. Without this script the page is whole, and still.
"use strict";
(() => {
  const SOON_MS = 250;
  const EVERY_MS = 15000;
  const DOUBT_MS = 5000;
  const WORDS = { IDLE: "is ready", REFUSED: "was refused", TRAINING_FAILED: "failed in training" };

  const pulse = document.getElementById("pulse");
  const news = document.getElementById("news");
  let busy = false;
  let again = false;
  let waits = false;
  let timer = 0;

  // As the page calls it, if it shows it at all.
  const nameOf = (id) => {
    const leadsThere = (it) => it.pathname === `/avatars/${encodeURIComponent(id)}`;
    const shown = [...document.querySelectorAll("main a")].find(leadsThere);
    return shown?.textContent.trim() || `Avatar ${id}`;
  };

  const live = (is) => {
    pulse.textContent = is ? "Live" : "Not live: trying again";
    pulse.classList.toggle("live", is);
  };

  const replace = (fresh, old) => {
    const open = new Set([...old.querySelectorAll("details[open]")].map((it) => it.id));
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const made = document.importNode(fresh, true);
    for (const it of made.querySelectorAll("details")) it.open = open.has(it.id);
    old.replaceWith(made);
    const same = (it) => it.id ? it.id === focused.id : it.href && it.href === focused.href;
    const kept = focused && [...made.querySelectorAll("a, button, summary")].find(same);
    if (kept) kept.focus({ preventScroll: true });
  };

  const takeOver = (page) => {
    const main = document.querySelector("main");
    let before = null;
    for (const fresh of page.querySelectorAll("[data-live]")) {
      const old = document.getElementById(fresh.id);
      if (!old) {
        const made = document.importNode(fresh, true);
        before ? before.after(made) : main.prepend(made);
      } else if (old.innerHTML !== fresh.innerHTML) {
        replace(fresh, old);
      }
      before = document.getElementById(fresh.id);
    }
    for (const old of document.querySelectorAll("[data-live]")) {
      if (!page.getElementById(old.id)) old.remove();
    }
    document.title = page.title;
  };

  const refresh = async () => {
    clearTimeout(timer);
    waits = false;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      live(false);
    }
    busy = false;
    timer = setTimeout(refresh, again ? SOON_MS : EVERY_MS);
    again = false;
  };

  const soon = () => {
    // What comes while one refresh waits is shown by it: a crowd of news must not put it off.
    if (waits) return;
    waits = true;
    clearTimeout(timer);
    timer = setTimeout(refresh, SOON_MS);
  };

  // What answered a change is no place to come back to, so it is left as it is.
  if (!document.querySelector("[data-live]")) {
    pulse.textContent = "";
    return;
  }
  let doubt = 0;
  const listen = () => {
    const stream = new EventSource("/api/v1/stream");
    stream.addEventListener("open", () => {
      clearTimeout(doubt);
      doubt = 0;
      live(true);
    });
    stream.addEventListener("error", () => {
      // A stream ends by itself after a while and is opened anew; only a gap is worth a word.
      doubt ||= setTimeout(() => live(false), DOUBT_MS);
      // After an answer that is none, such as one of a proxy, the browser gives up by itself.
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, DOUBT_MS);
    });
    stream.addEventListener("attempt", soon);
    stream.addEventListener("transition", (event) => {
      const { avatar_id: id, status } = JSON.parse(event.data);
      if (WORDS[status]) news.textContent = `${nameOf(id)} ${WORDS[status]}.`;
      soon();
    });
  };
  listen();
  timer = setTimeout(refresh, EVERY_MS);
})();
