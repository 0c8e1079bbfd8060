// Keeps the page up to date: on an event of the stream it loads the page again and replaces the
// sections that changed. Without this script the page is complete and static.
"use strict";
(() => {
  const REFRESH_DELAY_MS = 250;
  const REFRESH_INTERVAL_MS = 15000;
  const DISCONNECTED_AFTER_MS = 5000;
  const ANNOUNCEMENTS = { IDLE: "is ready", REFUSED: "was refused", TRAINING_FAILED: "failed in training" };

  // The path of the overview, which differs behind a proxy.
  const base = document.querySelector(".brand a").pathname;
  const connection = document.getElementById("connection");
  const announcement = document.getElementById("announcement");
  let busy = false;
  let again = false;
  let scheduled = false;
  let timer = 0;

  // The name that the page shows for an avatar, if it shows it.
  const nameOf = (id) => {
    const linksToIt = (it) => it.pathname === `${base}avatars/${encodeURIComponent(id)}`;
    const shown = [...document.querySelectorAll("main a")].find(linksToIt);
    return shown?.textContent.trim() || `Avatar ${id}`;
  };

  const live = (is) => {
    connection.textContent = is ? "Live" : "Disconnected, reconnecting";
    connection.classList.toggle("live", is);
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

  const applyPage = (page) => {
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
    scheduled = false;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const response = await fetch(location.href, { cache: "no-store" });
      if (response.ok) applyPage(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      live(false);
    }
    busy = false;
    timer = setTimeout(refresh, again ? REFRESH_DELAY_MS : REFRESH_INTERVAL_MS);
    again = false;
  };

  const refreshSoon = () => {
    // Further events must not delay a refresh that is already scheduled.
    if (scheduled) return;
    scheduled = true;
    clearTimeout(timer);
    timer = setTimeout(refresh, REFRESH_DELAY_MS);
  };

  // A page that responds to a POST cannot be loaded again, so it stays as it is.
  if (!document.querySelector("[data-live]")) {
    connection.textContent = "";
    return;
  }
  let disconnectTimer = 0;
  const listen = () => {
    const stream = new EventSource(`${base}api/v1/stream`);
    stream.addEventListener("open", () => {
      clearTimeout(disconnectTimer);
      disconnectTimer = 0;
      live(true);
    });
    stream.addEventListener("error", () => {
      // The server ends each stream after a while and the browser reconnects; show only a longer gap.
      disconnectTimer ||= setTimeout(() => live(false), DISCONNECTED_AFTER_MS);
      // After a response that is not a stream, such as one of a proxy, the browser stops retrying.
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, DISCONNECTED_AFTER_MS);
    });
    stream.addEventListener("attempt", refreshSoon);
    stream.addEventListener("transition", (event) => {
      const { avatar_id: id, status } = JSON.parse(event.data);
      if (ANNOUNCEMENTS[status]) announcement.textContent = `${nameOf(id)} ${ANNOUNCEMENTS[status]}.`;
      refreshSoon();
    });
  };
  listen();
  timer = setTimeout(refresh, REFRESH_INTERVAL_MS);
})();
