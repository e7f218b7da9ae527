// What the components need beyond HTML: colors, dialogs, menus, toasts. Every page works without it.

const root = document.documentElement;

// --- colors: light, dark, or as the system says -----------------------------------------------
function storedTheme() {
  try { return localStorage.getItem("theme") || "system"; } catch { return "system"; }
}

function applyTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  for (const button of document.querySelectorAll("[data-theme-switch] button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
}

function chooseTheme(theme) {
  try { localStorage.setItem("theme", theme); } catch { /* storage refused: it holds for this page */ }
  applyTheme(theme);
}

// --- toasts ------------------------------------------------------------------------------------
const TOAST_STAYS_MS = 8000;

export function toast(text, tone = "info") {
  const box = document.createElement("div");
  box.className = "toast";
  box.dataset.tone = tone;
  box.append(Object.assign(document.createElement("span"), { textContent: text }));
  document.getElementById("toasts")?.append(box);
  prepareToast(box);
}

function prepareToast(box) {
  for (const button of box.querySelectorAll("[data-dismiss]")) button.hidden = false;
  if (box.dataset.tone === "success" || box.dataset.tone === "info") setTimeout(() => box.remove(), TOAST_STAYS_MS);
}

// --- what arrives with the page, or in a fragment -----------------------------------------------
function prepare(scope) {
  for (const element of scope.querySelectorAll("[data-theme-switch], [data-dialog-open], [data-confirm-cancel], [data-copy]")) element.hidden = false;
  for (const box of scope.querySelectorAll(".toast")) prepareToast(box);
  applyTheme(storedTheme());
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  const button = target.closest("button");
  if (!button) return;
  if (button.closest("[data-theme-switch]")) chooseTheme(button.value);
  else if (button.dataset.dialogOpen) document.getElementById(button.dataset.dialogOpen)?.showModal();
  else if (button.matches("[data-dismiss]")) button.closest(".toast").remove();
  else if (button.matches("[data-confirm-cancel]")) button.closest("details").open = false;
  else if (button.dataset.copy) navigator.clipboard.writeText(button.dataset.copy).then(() => toast(button.dataset.copied || button.dataset.copy));
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A select or radio marked data-autosubmit sends its form; a form marked data-once is sent once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// --- htmx --------------------------------------------------------------------------------------
document.addEventListener("htmx:afterSettle", (event) => {
  prepare(event.detail.elt);
  event.detail.elt.querySelector("[data-focus]")?.focus();
});
document.addEventListener("htmx:responseError", (event) => toast(`${event.detail.xhr.status} ${event.detail.xhr.statusText}`, "error"));
document.addEventListener("htmx:sendError", () => toast(document.body.dataset.offline || "No connection.", "error"));

prepare(document);
for (const tab of document.querySelectorAll(".nav-tabs [aria-current], .tabs [aria-current]")) {
  const line = tab.parentElement; // on a phone it scrolls sideways: the page that is shown is not out of sight
  line.scrollLeft = tab.offsetLeft - line.offsetLeft - (line.clientWidth - tab.offsetWidth) / 2;
}
document.querySelector("[data-focus]")?.focus();
