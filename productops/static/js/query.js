// The query line offers keys and values at the caret. Tab or Enter takes what is chosen; Enter alone searches.
const field = document.querySelector("[data-query]");
const list = document.getElementById("query-options");
let asked = 0;
let later = 0;

const options = () => [...list.querySelectorAll("[role=option]")];
const chosen = () => list.querySelector("[aria-selected=true]");

function close() {
  asked += 1;
  list.hidden = true;
  list.replaceChildren();
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
}

async function ask() {
  const number = ++asked;
  const at = field.selectionStart ?? field.value.length;
  const answer = await fetch(`${field.dataset.query}?at=${at}&q=${encodeURIComponent(field.value)}`, {
    headers: { "HX-Request": "true" },
  }).catch(() => null);
  if (!answer?.ok) return;
  const html = await answer.text();
  if (number !== asked || document.activeElement !== field) return;
  list.innerHTML = html;
  list.hidden = !options().length;
  field.setAttribute("aria-expanded", String(!list.hidden));
  field.removeAttribute("aria-activedescendant");
}

function soon() {
  clearTimeout(later);
  later = setTimeout(ask, 60);
}

function choose(by) {
  const all = options();
  if (!all.length) return;
  const at = all.indexOf(chosen());
  const next = all[(at + by + all.length) % all.length] ?? all[0];
  for (const option of all) option.setAttribute("aria-selected", String(option === next));
  next.scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", next.id);
}

function take(option) {
  field.value = option.dataset.text;
  const caret = Number(option.dataset.caret);
  field.focus();
  field.setSelectionRange(caret, caret);
  ask();
}

field?.addEventListener("input", soon);
field?.addEventListener("focus", soon);
field?.addEventListener("blur", () => setTimeout(() => document.activeElement !== field && close(), 120));
field?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") list.hidden ? ask() : choose(1);
  else if (event.key === "ArrowUp" && !list.hidden) choose(-1);
  else if (event.key === "Tab" && !event.shiftKey && !list.hidden && (chosen() || field.value)) take(chosen() ?? options()[0]);
  else if (event.key === "Enter" && chosen()) take(chosen());
  else if (event.key === "Escape" && !list.hidden) close();
  else if (event.key === "Escape") field.blur();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
list?.addEventListener("mousedown", (event) => {
  const option = event.target.closest("[role=option]");
  if (!option) return;
  event.preventDefault();
  take(option);
});

// How many each view holds comes after the page.
const tabs = document.querySelector("[data-counts]");
async function count() {
  if (!tabs || document.hidden) return;
  const answer = await fetch(tabs.dataset.counts, { headers: { "X-Background": "1" } }).catch(() => null);
  if (!answer?.ok) return;
  const told = await answer.json();
  for (const place of tabs.querySelectorAll("[data-count]")) {
    const n = told[place.dataset.count];
    place.textContent = n === 0 || n === undefined ? "" : n.toLocaleString(document.documentElement.lang);
  }
}
if (tabs) count();
document.addEventListener("incidents:listed", count);
