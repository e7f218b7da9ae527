// For pages that show a form of ours: each frame marked data-tandem-form becomes as tall as the form in it.
// It listens to those frames alone, takes a number from them, and does nothing else. Without it, frames scroll.

(() => {
  const LOWEST = 200, HIGHEST = 6000;
  window.addEventListener("message", (event) => {
    const height = Number(event.data && event.data.tandemFormHeight);
    if (!Number.isFinite(height)) return;
    for (const frame of document.querySelectorAll("iframe[data-tandem-form]")) {
      if (event.source !== frame.contentWindow || event.origin !== new URL(frame.src, location.href).origin) continue;
      frame.style.height = `${Math.min(Math.max(height, LOWEST), HIGHEST)}px`;
    }
  });
})();
