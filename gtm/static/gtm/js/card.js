// The gateway's card field, and its confirmation by the holder's bank. What is typed there goes to the gateway alone.

const LOOK = () => {
  const style = getComputedStyle(document.documentElement);
  const body = getComputedStyle(document.body);
  return { base: { color: body.color, iconColor: body.color, fontFamily: "system-ui, sans-serif", fontSize: "16px", "::placeholder": { color: style.getPropertyValue("--ink-faint").trim() || "#777" } } };
};

function say(box, text) {
  const place = box.querySelector("[data-card-error]");
  place.replaceChildren();
  if (text) place.append(Object.assign(document.createElement("p"), { textContent: text }));
}

function given(box) {
  return box.querySelector("input[type=hidden]");
}

function busy(form, is) {
  for (const button of form.querySelectorAll("button:not([name])")) button.disabled = is;
}

function renew(form, token) {
  const field = form.elements.namedItem("csrfmiddlewaretoken");
  if (field && token) field.value = token;
  if (token) document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
}

// --- a card is given -----------------------------------------------------------------------------
async function prepare(form, box) {
  const typed = new FormData(form);
  typed.set("prepare", "1");
  let answer;
  try {
    answer = await fetch(form.getAttribute("action") || location.href, { method: "POST", body: typed, headers: { Accept: "application/json" } });
  } catch {
    return { error: box.dataset.away };
  }
  const kind = answer.headers.get("Content-Type") || "";
  return kind.startsWith("application/json") ? answer.json() : { refused: true };
}

// Whether the form may be sent: with the card, or for the page to say what is wrong with the rest of it.
async function give(form, box, stripe, card) {
  say(box, "");
  const begun = await prepare(form, box);
  if (begun.refused) return true;
  renew(form, begun.csrf);
  const result = begun.error ? begun : await stripe.confirmCardSetup(begun.client_secret, { payment_method: { card } });
  if (result.error) {
    say(box, result.error.message || (typeof result.error === "string" ? result.error : box.dataset.away));
    return false;
  }
  given(box).value = result.setupIntent.id;
  return true;
}

function mount(box) {
  const form = box.closest("form");
  if (typeof window.Stripe === "undefined") return say(box, box.dataset.away);
  const stripe = window.Stripe(box.dataset.key);
  const card = stripe.elements({ locale: box.dataset.locale }).create("card", { style: LOOK(), hidePostalCode: true });
  card.mount(box.querySelector("[data-card-field]"));
  given(box).value = "";
  form.addEventListener("submit", async (event) => {
    const chosen = form.querySelector("input[type=radio][name=card]:checked");
    if ((chosen && chosen.value !== "new") || event.submitter?.name) return;
    event.preventDefault();
    event.stopPropagation();
    if (form.dataset.giving) return;
    form.dataset.giving = "1";
    busy(form, true);
    const may = await give(form, box, stripe, card).catch(() => say(box, box.dataset.away));
    if (may) return form.submit(); // and stays as it is until the answer is here: one click, one order
    delete form.dataset.giving;
    busy(form, false);
  });
  window.addEventListener("pageshow", () => {
    given(box).value = "";
    delete form.dataset.giving;
    busy(form, false);
  });
}

// --- a payment is confirmed ------------------------------------------------------------------------
function confirmation(form) {
  if (typeof window.Stripe === "undefined") return say(form, form.dataset.away);
  const stripe = window.Stripe(form.dataset.key);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    busy(form, true);
    const method = form.dataset.method ? { payment_method: form.dataset.method } : {};
    await stripe.confirmCardPayment(form.dataset.secret, method);
    form.submit(); // what became of it is asked of the gateway, not of the browser
  });
}

for (const box of document.querySelectorAll("[data-card]")) mount(box);
for (const form of document.querySelectorAll("form[data-confirm-payment]")) confirmation(form);
