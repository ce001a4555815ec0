/* What pages need beside htmx: forms as JSON, the theme, the zone of times, and what is live. */
"use strict";

htmx.defineExtension("json", {
  /* A form is sent as JSON: the server takes nothing else, which another site can't send. */
  onEvent(name, event) {
    if (name === "htmx:configRequest") event.detail.headers["Content-Type"] = "application/json";
  },
  encodeParameters(xhr, parameters) {
    const sent = {};
    for (const [name, value] of parameters.entries()) {
      if (name.endsWith("[]")) (sent[name.slice(0, -2)] ||= []).push(value);
      else sent[name] = value;
    }
    return JSON.stringify(sent);
  },
});

const root = document.documentElement;
const year = 365 * 24 * 3600;

function keep(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=${year}; samesite=strict`;
}

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-switch=theme]")) {
    button.setAttribute("aria-pressed", String(isDark()));
  }
}

/* Times come in UTC; in the zone of the browser they are written here. */
function showTimes(within) {
  const isLocal = root.dataset.zone === "local";
  for (const time of within.querySelectorAll("time[datetime]")) {
    time.dataset.utc ??= time.textContent;
    const at = new Date(time.dateTime);
    const form = { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
    time.textContent = isLocal
      ? new Intl.DateTimeFormat("en-GB", { year: "numeric", ...form, timeZoneName: "short" }).format(at)
      : time.dataset.utc;
  }
  for (const button of document.querySelectorAll("[data-switch=zone]")) {
    button.textContent = isLocal ? "Local time" : "UTC";
  }
}

const switches = {
  theme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep("theme", root.dataset.theme);
    showTheme();
  },
  zone() {
    root.dataset.zone = root.dataset.zone === "local" ? "utc" : "local";
    keep("zone", root.dataset.zone);
    showTimes(document);
  },
  save() {
    const filter = document.querySelector("#filter").value.trim();
    if (filter && !saved().includes(filter)) localStorage.setItem("filters", JSON.stringify([...saved(), filter]));
    showSaved();
  },
  forget(button) {
    localStorage.setItem("filters", JSON.stringify(saved().filter((each) => each !== button.dataset.filter)));
    showSaved();
  },
};

/* Filters that were saved, in this browser alone. */
function saved() {
  try {
    return JSON.parse(localStorage.getItem("filters") ?? "[]");
  } catch {
    return [];
  }
}

function showSaved() {
  const chips = document.querySelector("#chips");
  if (!chips) return;
  for (const old of chips.querySelectorAll("[data-saved]")) old.remove();
  for (const filter of saved()) {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.dataset.saved = "";
    const link = document.createElement("a");
    link.href = `/orders?filter=${encodeURIComponent(filter)}`;
    link.textContent = filter;
    const remove = document.createElement("button");
    Object.assign(remove, { type: "button", className: "remove", textContent: "×" });
    remove.setAttribute("aria-label", `Forget ${filter}`);
    Object.assign(remove.dataset, { switch: "forget", filter });
    chip.append(link, remove);
    chips.append(chip);
  }
}

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-switch]");
  if (pressed) switches[pressed.dataset.switch](pressed);
  const all = event.target.closest("[data-select-all]");
  if (all) {
    for (const box of all.closest("form").querySelectorAll("input[type=checkbox][name]")) box.checked = all.checked;
  }
});

/* "/" goes to the box that finds things, as on many pages. */
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    const box = document.querySelector("#find");
    if (box) { event.preventDefault(); box.focus(); }
  }
});

/* An error is a page too: it is shown where the answer would be. */
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) event.detail.shouldSwap = true;
});
document.addEventListener("htmx:sendError", () => showLive("away", "The console does not answer"));
document.addEventListener("htmx:afterSwap", (event) => showTimes(event.detail.target));

/* The browser resumes by itself with Last-Event-ID; what changed is asked for again, at most once a second. */
let waiting = null;
let changed = new Set();

function showLive(state, text) {
  const shown = document.querySelector("#live");
  if (!shown || shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = text;
}

function onChange(event) {
  const found = JSON.parse(event.data);
  for (const id of found.orders) changed.add(id);
  if (found.all) changed.add("*");
  waiting ??= setTimeout(() => {
    waiting = null;
    const orders = changed;
    changed = new Set();
    for (const part of document.querySelectorAll("[data-live]")) {
      const order = part.dataset.live;
      if (!order || orders.has(order) || orders.has("*")) htmx.trigger(part, "changed");
    }
  }, 1000);
}

/* From what the page shows: nothing that happens while it loads is missed. */
if (document.querySelector("[data-live]")) {
  const shown = document.querySelector("[data-position]");
  const source = new EventSource(`/live?position=${shown ? shown.dataset.position : -1}`);
  source.addEventListener("open", () => showLive("live", "Live"));
  source.addEventListener("error", () => showLive("away", "Not live: connecting again"));
  source.addEventListener("changes", onChange);
  window.addEventListener("pagehide", () => source.close());
}

showTheme();
showTimes(document);
showSaved();
