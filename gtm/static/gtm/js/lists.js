// Lists: tick all rows of a page, say how many are ticked, Escape leaves a cell's form. Each works without it, row by row.

const bar = document.querySelector("[data-bulk]");
const all = document.querySelector("[data-bulk-all]");

function boxes() {
  return [...document.querySelectorAll("[data-bulk-row]")];
}

function tell() {
  const ticked = boxes().filter((box) => box.checked).length;
  const count = bar.querySelector("[data-bulk-count]");
  count.textContent = ticked ? `${ticked} ${count.dataset.some}` : count.dataset.none;
  all.checked = ticked > 0 && ticked === boxes().length;
  all.indeterminate = ticked > 0 && !all.checked;
}

if (bar && all) {
  all.hidden = false;
  document.addEventListener("change", (event) => {
    if (event.target === all) for (const box of boxes()) box.checked = all.checked;
    if (event.target.matches("[data-bulk-all], [data-bulk-row]")) tell();
  });
  tell();
}

document.addEventListener("keydown", (event) => {
  const form = event.target instanceof Element ? event.target.closest(".cell-form") : null;
  if (form && event.key === "Escape") form.querySelector("[data-cell-cancel]").click();
});
