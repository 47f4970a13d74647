// Acts on many rows: x ticks, Shift+j/k ticks on the way, a bar offers the verbs. What cannot apply stays ticked and
// says why. In the list and on the board the same keys act on the row one stands on.
import { closeDialog, showDialog } from "./dialogs.js";
import { toast } from "./toasts.js";

const BATCH = 100; // rows of one request, so that there is progress to show
const ticked = new Map(); // number -> why it could not be
const bar = () => document.querySelector("[data-many]");
const boxes = () => [...document.querySelectorAll("[data-list] [data-tick]")];
const rowOf = (number) => document.querySelector(`[data-list] [data-row="${CSS.escape(number)}"]`);
const standing = () => document.querySelector("[data-list] [data-row][aria-current=true]");
let isBusy = false;

function show() {
  for (const box of boxes()) box.checked = ticked.has(box.value);
  for (const row of document.querySelectorAll("[data-list] [data-row]")) {
    const why = ticked.get(row.dataset.row) ?? "";
    row.classList.toggle("is-ticked", ticked.has(row.dataset.row));
    const place = row.querySelector("[data-problem]");
    if (place) place.textContent = why;
  }
  document.querySelector("[data-list]")?.classList.toggle("has-ticks", ticked.size > 0);
  const all = document.querySelector("[data-tick-all]");
  if (all) all.checked = boxes().length > 0 && boxes().every((box) => box.checked);
  if (!bar()) return;
  bar().hidden = ticked.size === 0;
  bar().querySelector("[data-many-count]").textContent = ticked.size.toLocaleString(document.documentElement.lang);
}

function tick(number, isOn = !ticked.has(number)) {
  if (isOn) ticked.set(number, "");
  else ticked.delete(number);
}

function clear() {
  ticked.clear();
  show();
}

async function send(form, numbers) {
  const address = bar().dataset.many;
  const token = JSON.parse(document.body.getAttribute("hx-headers"));
  const total = { done: 0, refused: {}, undo: "", said: "" };
  const progress = bar().querySelector("progress");
  const batch = crypto.randomUUID?.() ?? "";
  bar().hidden = false;
  progress.hidden = numbers.length <= BATCH;
  for (let at = 0; at < numbers.length; at += BATCH) {
    const body = new FormData();
    for (const [name, value] of form) body.append(name, value);
    body.set("numbers", numbers.slice(at, at + BATCH).join(","));
    body.set("batch", batch);
    body.set("done_before", total.done);
    body.set("refused_before", Object.keys(total.refused).length);
    const answer = await fetch(address, { method: "POST", body, headers: { ...token, "HX-Request": "true", Accept: "application/json" } }).catch(() => null);
    if (!answer?.headers.get("Content-Type")?.includes("json")) return { ...total, left: numbers.slice(at), answer };
    const told = await answer.json();
    total.done += told.done.length;
    Object.assign(total.refused, told.refused);
    total.undo = told.undo;
    total.said = told.said;
    progress.value = (at + BATCH) / numbers.length;
  }
  progress.hidden = true;
  return { ...total, left: [] };
}

async function run(form) {
  const numbers = ticked.size ? [...ticked.keys()] : [standing()?.dataset.row].filter(Boolean);
  if (isBusy || !numbers.length) return;
  isBusy = true;
  try {
    const told = await send(form, numbers);
    const html = told.answer?.headers.get("Content-Type")?.includes("html") ? await told.answer.text() : "";
    if (told.answer?.ok && html) return showDialog(html); // the verb asks something
    ticked.clear();
    for (const [number, why] of Object.entries(told.refused)) ticked.set(number, why);
    for (const number of told.left) ticked.set(number, "");
    closeDialog();
    const place = document.getElementById("toasts");
    const problem = told.answer?.headers.get("X-Problem");
    if (told.left.length) toast({ text: problem ? decodeURIComponent(problem) : place.dataset.failed, isError: true });
    if (told.said) toast({ text: told.said, undo: told.done ? told.undo : "" });
    show();
    htmx.trigger(document.body, "incidents:changed");
  } finally {
    isBusy = false;
  }
}

const verb = (name, more = {}) => Object.entries({ verb: name, ...more });

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-many-form]");
  if (!form || !bar()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  run([...new FormData(form)].filter(([name]) => name !== "numbers"));
}, true);

let last = null;
document.addEventListener("click", async (event) => {
  const box = event.target.closest("[data-tick]");
  if (box) {
    const all = boxes();
    const from = event.shiftKey && last ? all.findIndex((other) => other.value === last) : all.indexOf(box);
    const [a, b] = [from, all.indexOf(box)].sort((x, y) => x - y);
    for (const other of all.slice(Math.max(0, a), b + 1)) tick(other.value, box.checked);
    last = box.value;
    return show();
  }
  const button = event.target.closest("[data-verb], [data-many-none], [data-many-all], [data-tick-all]");
  if (!button) return;
  if (button.dataset.verb) return run(verb(button.dataset.verb));
  if (button.matches("[data-many-none]")) return clear();
  if (button.matches("[data-tick-all]")) {
    for (const other of boxes()) tick(other.value, button.checked);
    return show();
  }
  const answer = await fetch(bar().dataset.numbers).catch(() => null);
  if (answer?.ok) for (const number of (await answer.json()).numbers) tick(String(number), true);
  show();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || !bar()) return;
  if (document.body.dataset.shortcuts === "off") return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open]")) return;
  const layout = document.querySelector("[data-list]").dataset.list;
  if (event.key === "Escape" && ticked.size) clear();
  else if (event.key === "x" && standing()) tick(standing().dataset.row), show();
  else if (event.key === "J" || event.key === "K") {
    const all = [...document.querySelectorAll("[data-list] [data-row]")];
    const at = all.indexOf(standing());
    const next = all[Math.min(all.length - 1, Math.max(0, at + (event.key === "J" ? 1 : -1)))];
    for (const row of [standing(), next]) if (row) tick(row.dataset.row, true);
    if (next) htmx.trigger(document.body, "lists:select", { row: next.dataset.row });
    show();
  } else if (ticked.size || layout !== "inbox") {
    const button = bar().querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (event.key === "m") run(verb("assign", { me: 1 }));
    else if (button) run(verb(button.dataset.verb));
    else return;
  } else return;
  event.preventDefault();
});

document.addEventListener("incidents:listed", show);
