// Today by keyboard, beside keyboard.js: x selects a row (shift: all rows since the last one), e, s and t then act on all that are
// selected, u takes the last step back, n asks why a row is of no use. After any step the focus stays on the row that came next.

let lastSelected = -1;

function boxes() {
  return [...document.querySelectorAll("#today-list [data-select]")];
}

function selected() {
  return boxes().filter((box) => box.checked);
}

function bulk() {
  return document.querySelector("[data-bulk]");
}

function showBulk() {
  const bar = bulk();
  if (!bar) return;
  const count = selected().length;
  bar.hidden = count === 0;
  const label = bar.querySelector("[data-bulk-count]");
  label.dataset.words ??= label.textContent.trim();
  label.textContent = `${label.dataset.words} ${count}`;
  const kinds = new Set(selected().map((box) => box.value.split(":")[0]));
  for (const reason of bar.querySelectorAll("[data-kinds]")) reason.hidden = !reason.dataset.kinds.split(" ").some((kind) => kinds.has(kind));
}

function select(box, range) {
  const all = boxes();
  const index = all.indexOf(box);
  if (range && lastSelected >= 0) {
    const [from, to] = [Math.min(lastSelected, index), Math.max(lastSelected, index)];
    for (const one of all.slice(from, to + 1)) one.checked = box.checked;
  }
  lastSelected = index;
  showBulk();
}

function typing(target) {
  return target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}

function row() {
  return document.activeElement?.closest?.("[data-key-item]") ?? document.querySelector("[data-key-current]")?.closest("[data-key-item]");
}

// Why it is of no use: the menu of all that are selected, else the row's.
function askWhy() {
  const menu = selected().length > 0 ? bulk()?.querySelector("[data-bulk-reasons]") : row()?.querySelector("details[data-reasons]");
  if (!menu) return;
  menu.open = true;
  menu.querySelector("button:not([hidden])")?.focus();
}

const BULK = { e: "done", s: "snooze", t: "take" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  if (key === "x") {
    const box = row()?.querySelector("[data-select]");
    if (!box) return;
    box.checked = !box.checked;
    select(box, event.shiftKey);
  } else if (key === "n") askWhy();
  else if (key === "u") document.querySelector("[data-undo]")?.click();
  else if (key in BULK && selected().length > 0) bulk()?.querySelector(`[data-bulk-action="${BULK[key]}"]`)?.click();
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.matches("[data-select]")) select(event.target, event.shiftKey);
});

// Where the focus was when a form of a row was sent, by mouse too; the same row, or the one that stands there now, gets it.
let resume = null;

function rows() {
  return [...document.querySelectorAll("#today-list [data-key-item]")];
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!event.target.closest?.("#today")) return;
  const of = event.target.closest("[data-key-item]") ?? selected()[0]?.closest("[data-key-item]") ?? row();
  resume = { index: rows().indexOf(of), id: of?.id };
});

document.addEventListener("htmx:afterSettle", () => {
  if (!resume) return;
  lastSelected = -1;
  showBulk();
  const all = rows();
  const next = all.find((one) => one.id === resume.id) ?? all[Math.min(Math.max(resume.index, 0), all.length - 1)];
  (next?.querySelector("[tabindex='-1']") ?? document.querySelector("#today .tabs [aria-current]"))?.focus({ preventScroll: true });
  resume = null;
});

// A menu with fields is opened to be filled in.
document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.menu[open]")) event.target.querySelector("input:not([type=hidden])")?.focus();
}, true);

showBulk();
