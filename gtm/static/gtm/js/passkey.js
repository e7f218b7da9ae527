// What the library for passkeys reports as a failure is said on the page, where it would only be logged.
document.addEventListener("allauth.error", (event) => {
  const problem = document.getElementById("passkey-problem");
  if (!problem) return;
  event.preventDefault();
  problem.textContent = problem.dataset.refused;
  problem.hidden = false;
});
