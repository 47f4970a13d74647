// Small helpers of forms: copy buttons, forms that submit when a choice is made, matches while typing.
// A hub on plain http has no clipboard API.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.body.appendChild(document.createElement("textarea"));
  field.className = "sr-only";
  field.value = text;
  field.select();
  document.execCommand("copy");
  field.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.querySelector(button.dataset.copy)?.textContent ?? "";
  await copy(text.trim());
  const before = [...button.childNodes];
  button.replaceChildren(button.dataset.done);
  setTimeout(() => button.replaceChildren(...before), 1500);
});
document.addEventListener("change", (event) => {
  event.target.closest("[data-submit-on-change]")?.requestSubmit();
});

// Quick log: arrows choose a match, Enter joins it, Enter alone logs.
document.addEventListener("keydown", (event) => {
  const field = event.target.closest("[data-match-field]");
  if (!field) return;
  const options = [...document.querySelectorAll("#matches [role=option]")];
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!options.length) return;
    event.preventDefault();
    for (const option of options) option.setAttribute("aria-selected", "false");
    const next = event.key === "ArrowDown" ? Math.min(at + 1, options.length - 1) : at - 1;
    options[next]?.setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", options[next]?.id ?? "");
  } else if (event.key === "Enter" && !event.shiftKey && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    if (options[at]) options[at].click();
    else field.form.requestSubmit();
  }
});

// A chosen match sends the complaint as "the same problem"; a chosen customer fills the field.
document.addEventListener("click", (event) => {
  const same = event.target.closest("[data-same]");
  if (same) {
    const form = same.closest("form");
    form.elements.same.value = same.dataset.same;
    form.requestSubmit();
  }
  const who = event.target.closest("[data-who-pick]");
  if (who) {
    const form = who.closest("form");
    form.elements.customer.value = who.dataset.whoPick;
    form.elements.who.value = who.dataset.name;
    document.getElementById("whos").replaceChildren();
    form.elements.text.focus();
  }
});
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-who]")) event.target.form.elements.customer.value = "";
});
document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.("[data-who]")) return;
  const options = [...document.querySelectorAll("#whos [role=option]")];
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    for (const option of options) option.setAttribute("aria-selected", "false");
    options[Math.max(0, Math.min(options.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)))]?.setAttribute("aria-selected", "true");
  } else if (event.key === "Enter" && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    if (options.length) (options[at] ?? options[0]).click();
    else event.target.form.requestSubmit();
  }
});

// A draft outlives a closed dialog, tab or connection; it ends when it was logged.
const draftKey = (form) => `draft:${form.dataset.draft}`;
document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form[data-draft]");
  if (form && event.target.name === "text") localStorage.setItem(draftKey(form), event.target.value);
});
document.addEventListener("htmx:afterSettle", () => {
  const form = document.querySelector("form[data-draft]");
  const kept = form && localStorage.getItem(draftKey(form));
  if (!kept || form.elements.text.value) return;
  form.elements.text.value = kept;
  setTimeout(() => htmx.trigger(form.elements.text, "ask"), 100);
});
document.addEventListener("draft:done", () => {
  for (const key of Object.keys(localStorage)) if (key.startsWith("draft:")) localStorage.removeItem(key);
});

// New matches arrive while one is chosen: the choice stays.
let chosen = "";
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.id !== "matches") return;
  chosen = event.detail.target.querySelector("[aria-selected=true]")?.dataset.same ?? "";
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "matches" || !chosen) return;
  event.detail.target.querySelector(`[data-same="${CSS.escape(chosen)}"]`)?.setAttribute("aria-selected", "true");
});
