// Lists worked by keyboard: j k move, Enter opens; in a split view the selected row shows itself.
const rows = () => [...document.querySelectorAll("[data-list] [data-row]")];
const current = () => document.querySelector("[data-list] [data-row][aria-current=true]");
const find = (number) => number && document.querySelector(`[data-list] [data-row="${CSS.escape(number)}"]`);
let later = 0;
let next = null;
let chosen = ""; // number of the row one stands on, which outlives the row when the list is asked for again
let isDeciding = false;
let isFollowing = false; // the row follows what an act has put beside the list

function mark(row) {
  chosen = row?.dataset.row ?? chosen;
  for (const other of rows()) if (other !== row) other.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
}

function select(row, isOpening = true) {
  if (!row) return;
  isFollowing = false;
  mark(row);
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  if (!isOpening || !row.hasAttribute("hx-get")) return;
  clearTimeout(later);
  const { row: number } = row.dataset;
  later = setTimeout(() => htmx.trigger(find(number) ?? row, "open"), 90);
}

function step(by) {
  const all = rows();
  const at = all.indexOf(current());
  select(all[Math.min(all.length - 1, Math.max(0, at + by))] ?? all[0]);
}

const open = (row) => (row.matches("a") ? row : row.querySelector("a[href]"))?.click();

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  if (document.body.dataset.shortcuts === "off" && !event.key.startsWith("Arrow")) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
  if (!document.querySelector("[data-list]")) return;
  if (event.key === "j" || event.key === "ArrowDown") step(1);
  else if (event.key === "k" || event.key === "ArrowUp") step(-1);
  else if (event.key === "Enter" && !event.target.closest("a, button") && current()) open(current());
  else return;
  event.preventDefault();
});

// On a small screen there is no pane beside the list: the link leads to the page.
document.addEventListener(
  "click",
  (event) => {
    const row = event.target.closest("[data-list] [data-row][hx-get]");
    if (!row || matchMedia("(min-width: 761px)").matches) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    location.assign(row.href);
  },
  true,
);
document.addEventListener("click", (event) => {
  const row = event.target.closest("[data-list] [data-row]");
  if (row && (row.hasAttribute("hx-get") || !event.target.closest("a, input"))) select(row, false);
});

document.addEventListener("lists:select", (event) => {
  select(find(event.detail.row));
});

// The answer to an act differs where nothing is shown beside the list.
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-Layout"] = document.querySelector("[data-list]")?.dataset.list ?? "";
});

// Before an act that decides, remember the neighbour; after it, go there.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "post") return;
  const all = rows();
  const at = all.indexOf(current());
  next = (all[at + 1] ?? all[at - 1])?.dataset.row ?? null;
});
document.addEventListener("incidents:decided", () => {
  const wanted = next;
  next = null;
  const isBoard = document.querySelector("[data-list=board]"); // there one stays on the card one moved
  if (!wanted || isBoard || !matchMedia("(min-width: 761px)").matches) return;
  chosen = wanted;
  isDeciding = true;
  document.addEventListener("incidents:listed", () => {
    isDeciding = false;
    select(find(wanted));
  }, { once: true });
});
// The open incident follows its row, unless somebody is writing or reading in it.
async function refresh(row, headers) {
  const pane = document.getElementById("detail");
  const shown = pane?.querySelector("[data-version]");
  if (!row?.hasAttribute("hx-get") || !shown || shown.dataset.incident !== row.dataset.row) return;
  if (shown.dataset.version === row.dataset.version) return;
  const isWriting = [...pane.querySelectorAll("textarea")].some((field) => field.value);
  if (isWriting || pane.contains(document.activeElement) || pane.querySelector("details[open]")) return;
  const answer = await fetch(row.getAttribute("hx-get"), { headers: { "HX-Request": "true", ...headers } }).catch(() => null);
  const text = answer?.ok ? await answer.text() : "";
  if (!text || pane.querySelector("[data-version]") !== shown || pane.contains(document.activeElement)) return;
  const top = pane.scrollTop;
  htmx.swap(pane, text, { swapStyle: "innerHTML" });
  pane.scrollTop = top;
}
// Marked as soon as the new rows are there, so that the next key finds it.
document.addEventListener("htmx:afterSwap", (event) => {
  if (!event.target.matches?.("[data-list]")) return;
  if (isFollowing) chosen = document.querySelector("#detail:not([hidden]) [data-incident]")?.dataset.incident ?? chosen;
  isFollowing = false;
  mark(find(chosen));
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest("[data-list] [data-row]");
  if (row && !row.hasAttribute("hx-get") && row !== current()) mark(row);
});
document.addEventListener("incidents:changed", (event) => {
  const isBackground = Boolean(event.detail?.isBackground);
  const headers = isBackground ? { "X-Background": "1" } : {};
  const list = document.querySelector("[data-list][data-url]");
  if (!list) return;
  chosen ||= current()?.dataset.row ?? "";
  isFollowing = !isBackground && !isDeciding;
  htmx.ajax("GET", list.dataset.url, { source: list, target: list, swap: "innerHTML", headers }).then(() => {
    const row = find(chosen);
    mark(row);
    if (row && !row.hasAttribute("hx-get") && !document.querySelector("dialog[open]")) row.focus({ preventScroll: true });
    refresh(row, headers);
    document.dispatchEvent(new CustomEvent("incidents:listed"));
  });
});
