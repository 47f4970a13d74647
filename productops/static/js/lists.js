// Lists worked by keyboard: j k move, Enter opens; in a split view the selected row shows itself.
const rows = () => [...document.querySelectorAll("[data-list] [data-row]")];
const current = () => document.querySelector("[data-list] [data-row][aria-current=true]");
let later = 0;
let next = null;

function mark(row) {
  for (const other of rows()) if (other !== row) other.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
}

function select(row, isOpening = true) {
  if (!row) return;
  mark(row);
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  if (!isOpening || !row.hasAttribute("hx-get")) return;
  clearTimeout(later);
  later = setTimeout(() => htmx.trigger(row, "open"), 90);
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
  select(document.querySelector(`[data-list] [data-row="${CSS.escape(event.detail.row)}"]`));
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
  if (!wanted || !matchMedia("(min-width: 761px)").matches) return;
  document.addEventListener(
    "incidents:listed",
    () => select(document.querySelector(`[data-row="${CSS.escape(wanted)}"]`)),
    { once: true },
  );
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
let shown = "";
document.addEventListener("htmx:afterSwap", (event) => {
  if (!event.target.matches?.("[data-list]") || !shown) return;
  mark(document.querySelector(`[data-row="${CSS.escape(shown)}"]`));
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest("[data-list] [data-row]");
  if (row && !row.hasAttribute("hx-get") && row !== current()) mark(row);
});
document.addEventListener("incidents:changed", (event) => {
  const headers = event.detail?.isBackground ? { "X-Background": "1" } : {};
  const list = document.querySelector("[data-list][data-url]");
  if (!list) return;
  const pane = document.querySelector("#detail:not([hidden]) [data-incident]");
  shown = pane?.dataset.incident ?? current()?.dataset.row ?? "";
  htmx.ajax("GET", list.dataset.url, { target: list, swap: "innerHTML", headers }).then(() => {
    const row = shown && document.querySelector(`[data-row="${CSS.escape(shown)}"]`);
    mark(row);
    if (row && !row.hasAttribute("hx-get") && !document.querySelector("dialog[open]")) row.focus({ preventScroll: true });
    refresh(row, headers);
    document.dispatchEvent(new CustomEvent("incidents:listed"));
  });
});
