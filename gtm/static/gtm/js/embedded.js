// In a page that may stand within another site's: the brand's color, one sending per click, and how tall the page is.
// What is told to the page around it is a height alone; embed.js there takes it from this frame only.

const root = document.documentElement;
if (/^#[0-9a-f]{6}$/i.test(root.dataset.brand)) root.style.setProperty("--brand", root.dataset.brand);

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "true";
});
window.addEventListener("pageshow", () => { for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent; });

if (window.parent !== window) {
  root.dataset.framed = "";
  const main = document.getElementById("main");
  const tell = () => window.parent.postMessage({ tandemFormHeight: Math.ceil(main.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(main);
} else {
  document.querySelector("[data-focus]")?.focus();
}
