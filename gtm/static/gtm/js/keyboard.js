// The desk by keyboard. A list is [data-key-list]; its rows are [data-key-item], each with a link [data-key-open] and buttons
// [data-key-action="done" | "snooze" | "take"]. The list's search field is [data-key-search]. Links marked [data-palette] feed the palette.

const ACTIONS = { e: "done", s: "snooze", t: "take" };

function typing(target) {
  return target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}

function dialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

// --- rows --------------------------------------------------------------------------------------
function rows() {
  return [...document.querySelectorAll("[data-key-list] [data-key-item]")];
}

function current() {
  return document.activeElement?.closest?.("[data-key-item]") ?? document.querySelector("[data-key-current]")?.closest("[data-key-item]") ?? null;
}

function focusRow(row) {
  if (!row) return;
  for (const marked of document.querySelectorAll("[data-key-current]")) marked.removeAttribute("data-key-current");
  const target = row.querySelector("[tabindex='-1']") ?? row.querySelector("[data-key-open]") ?? row;
  target.dataset.keyCurrent = "";
  target.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = rows();
  const index = all.indexOf(current());
  focusRow(all[index < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(index + step, 0), all.length - 1)]);
}

// A row that is done leaves the list: the focus goes on to its neighbour, so that a list is worked through without the mouse.
let resumeAt = null;

function act(name) {
  const row = current();
  const button = row?.querySelector(`[data-key-action="${name}"]`);
  if (!button) return;
  resumeAt = { index: rows().indexOf(row), id: row.id };
  button.click();
}

document.addEventListener("htmx:afterSettle", () => {
  if (!resumeAt) return;
  const all = rows();
  const same = resumeAt.id ? all.find((row) => row.id === resumeAt.id) : null;
  focusRow(same ?? all[Math.min(resumeAt.index, all.length - 1)]);
  resumeAt = null;
});

// --- palette -----------------------------------------------------------------------------------
const palette = document.getElementById("palette");
const field = palette?.querySelector("input");
const list = palette?.querySelector("[role=listbox]");
const nothing = palette?.querySelector("p");

function folded(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
}

function paletteEntries(query) {
  const links = [...document.querySelectorAll("a[data-palette]")].map((link) => ({ label: link.dataset.palette || link.firstChild.textContent.trim(), url: link.href }));
  const found = links.filter((entry) => folded(entry.label).includes(folded(query)));
  if (query.trim() && palette.dataset.searchUrl) {
    const url = new URL(palette.dataset.searchUrl, location.href);
    url.searchParams.set("q", query.trim());
    found.push({ label: `${palette.dataset.searchLabel} “${query.trim()}”`, url: url.href });
  }
  return found;
}

// Pages of the rail at once, and what the server finds as soon as it has: its last answer alone counts.
const WAIT_MS = 120;
let found = [];
let asking = null;
let timer = 0;

function typed() {
  found = [];
  fillPalette();
  clearTimeout(timer);
  asking?.abort();
  if (palette.dataset.paletteUrl && field.value.trim().length > 1) timer = setTimeout(ask, WAIT_MS, field.value.trim());
}

async function ask(query) {
  asking = new AbortController();
  const url = new URL(palette.dataset.paletteUrl, location.href);
  url.searchParams.set("q", query);
  try {
    const answer = await fetch(url, { signal: asking.signal, headers: { Accept: "application/json" } });
    if (!answer.ok || field.value.trim() !== query) return;
    found = (await answer.json()).entries;
    fillPalette();
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

function optionOf(entry, index) {
  const option = document.createElement("div");
  option.id = `palette-option-${index}`;
  option.role = "option";
  option.textContent = entry.label;
  option.dataset.url = entry.url;
  const said = [entry.kind, entry.note].filter(Boolean).join(" · ");
  if (said) option.append(Object.assign(document.createElement("small"), { textContent: said }));
  return option;
}

function fillPalette() {
  const known = paletteEntries(field.value);
  const more = found.filter((entry) => !known.some((one) => new URL(one.url, location.href).href === new URL(entry.url, location.href).href && one.label === entry.label));
  const entries = found.length ? [...more, ...known] : known;
  list.replaceChildren(...entries.map(optionOf));
  nothing.hidden = entries.length > 0;
  selectOption(0);
}

function selectOption(index) {
  const options = [...list.children];
  options.forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
  if (options[index]) {
    field.setAttribute("aria-activedescendant", options[index].id);
    options[index].scrollIntoView({ block: "nearest" });
  } else field.removeAttribute("aria-activedescendant");
}

function openPalette() {
  if (!palette || dialogOpen()) return;
  field.value = "";
  palette.showModal();
  typed();
  field.focus();
}

palette?.addEventListener("input", typed);
palette?.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (option) location.assign(option.dataset.url);
  else if (event.target === palette) palette.close();
});
palette?.addEventListener("keydown", (event) => {
  const options = [...list.children];
  const index = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown") selectOption(Math.min(index + 1, options.length - 1));
  else if (event.key === "ArrowUp") selectOption(Math.max(index - 1, 0));
  else if (event.key === "Enter" && options[index]) location.assign(options[index].dataset.url);
  else return;
  event.preventDefault();
});

// --- keys --------------------------------------------------------------------------------------
function openRow() {
  current()?.querySelector("[data-key-open]")?.click();
}

function focusSearch() {
  const search = document.querySelector("main [data-key-search]") ?? document.querySelector("[data-key-search]");
  if (search) search.select();
  else openPalette();
}

function handle(key) {
  if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "/") focusSearch();
  else if (key === "?") document.getElementById("keys-help")?.showModal();
  else if (key in ACTIONS) act(ACTIONS[key]);
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || dialogOpen()) return;
  if (event.key === "Enter" && event.target.matches?.("[tabindex='-1']")) openRow();
  else if (handle(event.key)) event.preventDefault();
});
