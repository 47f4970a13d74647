// The quick log: matches and a suggestion while typing, a key for every choice, a draft that outlives the tab.
// Arrows choose a match, Enter joins it, Enter alone logs.
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
  const who = event.target.closest("[data-who-pick], [data-who-new]");
  if (who) {
    const { elements } = who.closest("form");
    elements.customer.value = who.dataset.whoPick ?? "";
    elements.new_customer.value = who.dataset.whoNew ?? "";
    elements.who.value = who.dataset.name ?? who.dataset.whoNew;
    if (who.dataset.contact && elements.contact && !elements.contact.value) elements.contact.value = who.dataset.contact;
    document.getElementById("whos").replaceChildren();
    elements.text.focus();
    elements.text.dispatchEvent(new Event("ask"));
    keep(elements.text.form);
  }
});
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-who]")) return;
  event.target.form.elements.customer.value = "";
  event.target.form.elements.new_customer.value = "";
});
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-draft]");
  if (form && event.target.name === "feature") form.elements.text.dispatchEvent(new Event("ask"));
  // What a person chose is not overwritten by what the hub suggests.
  if (form && event.isTrusted && ["kind", "is_churn_risk"].includes(event.target.name)) form.dataset.chose = "1";
});

// The hub's suggestion, as long as nobody chose.
document.addEventListener("htmx:afterSwap", (event) => {
  const form = event.detail.target?.id === "matches" && document.querySelector("form[data-draft]");
  const found = form && form.querySelector("[data-suggested]");
  if (!found) return;
  document.getElementById("suggested").textContent = found.textContent;
  form.elements.suggested.value = found.dataset.kind ?? "";
  if (form.dataset.chose) return;
  for (const radio of form.elements.kind) radio.checked = radio.value === found.dataset.kind;
  form.elements.is_churn_risk.checked = "risk" in found.dataset;
});

// One key for each kind and importance: alone outside of fields, with Alt everywhere.
const KINDS = { KeyB: 0, KeyU: 1, KeyI: 2, KeyQ: 3, KeyP: 4 };
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form");
  if (!form?.elements.is_churn_risk || event.ctrlKey || event.metaKey) return;
  const isTyping = event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  if (isTyping && !event.altKey) return;
  const digit = /^Digit([0-3])$/.exec(event.code)?.[1];
  let choice = null;
  if (event.code in KINDS) choice = form.elements.kind[KINDS[event.code]];
  else if (event.key === "!" || (event.code === "Digit1" && event.shiftKey)) choice = form.elements.is_churn_risk;
  else if (digit) choice = form.elements.importance[digit];
  if (!choice) return;
  event.preventDefault();
  event.stopPropagation();
  choice.checked = choice.type === "checkbox" ? !choice.checked : true;
  if (choice.name !== "importance") form.dataset.chose = "1";
  keep(form);
}, true);
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
const KEPT = ["text", "who", "customer", "new_customer", "feature", "contact", "release", "channel", "importance"];
function keep(form) {
  if (!form?.dataset.draft) return;
  const names = form.dataset.chose ? [...KEPT, "kind"] : KEPT;
  const draft = Object.fromEntries(names.map((name) => [name, form.elements[name]?.value ?? ""]));
  if (form.dataset.chose && form.elements.is_churn_risk.checked) draft.is_churn_risk = "on";
  if (draft.text) localStorage.setItem(draftKey(form), JSON.stringify(draft));
  else localStorage.removeItem(draftKey(form));
}
function read(form) {
  try {
    return JSON.parse(localStorage.getItem(draftKey(form)));
  } catch {
    return null;
  }
}
for (const name of ["input", "change"]) {
  document.addEventListener(name, (event) => keep(event.target.closest?.("form[data-draft]")));
}
document.addEventListener("htmx:afterSettle", () => {
  const form = document.querySelector("form[data-draft]:not([data-restored])");
  if (!form) return;
  form.dataset.restored = "1";
  const draft = form.elements.text.value ? null : read(form);
  for (const [name, value] of Object.entries(draft ?? {})) {
    if (name === "is_churn_risk") form.elements[name].checked = true;
    else if (form.elements[name] && value) form.elements[name].value = value;
  }
  if (draft?.kind) form.dataset.chose = "1";
  // Who answers the telephone does so all day.
  if (!form.elements.channel.value) form.elements.channel.value = localStorage.getItem("channel") ?? "";
  if (draft) setTimeout(() => htmx.trigger(form.elements.text, "ask"), 100);
});
document.addEventListener("submit", (event) => {
  const channel = event.target.dataset.draft && event.target.elements.channel;
  if (channel) localStorage.setItem("channel", channel.value);
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
