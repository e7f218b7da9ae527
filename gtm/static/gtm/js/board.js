// The board: cards are dragged, or moved by `m`, through the guard's dialog. Only the server moves a card: what it refuses goes back.

const dialog = document.getElementById("move-dialog");
let dragged = null;
let origin = null;

function headers() {
  return { ...JSON.parse(document.body.getAttribute("hx-headers")), "HX-Request": "true" };
}

function board() {
  return document.getElementById("board");
}

// --- asking the server -------------------------------------------------------------------------
async function refresh(focus) {
  origin = null;
  dialog.close();
  const url = new URL(location.href);
  for (const name of ["column", "page"]) url.searchParams.delete(name);
  await htmx.ajax("GET", url.pathname + url.search, { target: "#board", swap: "outerHTML" });
  document.getElementById(focus)?.querySelector("[data-key-open]")?.focus();
}

function ask(html) {
  dialog.innerHTML = html;
  htmx.process(dialog);
  for (const button of dialog.querySelectorAll("[data-move-close]")) button.hidden = false;
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("[aria-invalid=true]") ?? dialog.querySelector("form input:not([type=hidden]), form select:not([name=to])") ?? dialog.querySelector("select"))?.focus();
}

async function send(url, options, card) {
  try {
    const answer = await fetch(url, { headers: headers(), ...options });
    if (answer.status === 204) return await refresh(card?.id);
    putBack();
    if (answer.ok || answer.status === 422) ask(await answer.text());
    else document.dispatchEvent(new CustomEvent("htmx:responseError", { detail: { xhr: answer } }));
  } catch {
    putBack();
    document.dispatchEvent(new CustomEvent("htmx:sendError"));
  }
}

let moving = null;

dialog.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-move-form]")) return;
  event.preventDefault();
  send(event.target.action, { method: "POST", body: new FormData(event.target) }, moving);
});
dialog.addEventListener("click", (event) => {
  if (!event.target.closest("[data-move-close]")) return;
  event.preventDefault();
  dialog.close();
});
dialog.addEventListener("close", () => moving?.querySelector("[data-key-open]")?.focus());

function open(card) {
  moving = card;
  send(card.dataset.move, {}, card);
}

// --- by hand: onto a column, or onto the bar of closed stages that comes up below ----------------
document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-move]") ?? null;
  if (!dragged) return;
  origin = { list: dragged.parentElement, next: dragged.nextElementSibling };
  dragged.dataset.dragging = "";
  setTimeout(() => { if (dragged) board().dataset.dragging = ""; }); // a page that changes within dragstart ends the drag
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.id);
});
document.addEventListener("dragover", (event) => {
  const column = dragged && event.target.closest?.("[data-drop]");
  for (const marked of document.querySelectorAll("[data-over]")) if (marked !== column) delete marked.dataset.over;
  if (!column) return;
  event.preventDefault();
  column.dataset.over = "";
});
document.addEventListener("drop", (event) => {
  const column = dragged && event.target.closest?.("[data-drop]");
  if (!column) return;
  event.preventDefault();
  const card = dragged;
  if (column.dataset.stage === card.dataset.stage) return;
  document.querySelector(`.board-column[data-stage="${CSS.escape(column.dataset.stage)}"] .board-cards`).prepend(card);
  moving = card;
  const body = new URLSearchParams({ to: column.dataset.stage, version: card.dataset.version });
  send(card.dataset.move, { method: "POST", body }, card);
});
document.addEventListener("dragend", () => {
  if (dragged) delete dragged.dataset.dragging;
  delete board().dataset.dragging;
  for (const marked of document.querySelectorAll("[data-over]")) delete marked.dataset.over;
  dragged = null;
});

function putBack() {
  if (!origin || !moving) return;
  origin.list.insertBefore(moving, origin.next?.parentElement === origin.list ? origin.next : null);
  origin = null;
}

// --- by keyboard -------------------------------------------------------------------------------
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-move-open]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link.closest("[data-move]"));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  const card = document.activeElement?.closest("[data-move]");
  if (!card || !board().contains(card)) return;
  event.preventDefault();
  open(card);
});
