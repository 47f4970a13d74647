// Links with data-dialog open their page's form in a dialog; without script they are ordinary links.
const dialog = document.getElementById("dialog");
let opener = null;

export async function openDialog(url) {
  opener = document.activeElement;
  // With a source of its own it does not queue behind what the page is asking for.
  await htmx.ajax("GET", url, { source: dialog, target: dialog, swap: "innerHTML" });
  if (!dialog.innerHTML.trim()) return;
  if (!dialog.open) dialog.showModal();
  const first = dialog.querySelector("[autofocus], textarea, input:not([type=hidden]), select, button");
  first?.focus();
}

// A form that came with another answer.
export function showDialog(html) {
  opener ??= document.activeElement;
  dialog.innerHTML = html;
  htmx.process(dialog);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[autofocus], textarea, input:not([type=hidden]), select, button")?.focus();
}

export function closeDialog() {
  if (dialog.open) dialog.close();
}

dialog?.addEventListener("close", () => {
  dialog.innerHTML = "";
  opener?.focus?.();
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) closeDialog();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  document.getElementById("palette")?.close();
  openDialog(link.href);
});
document.addEventListener("dialog:close", closeDialog);
// Somebody was quicker: the form comes back with what they did.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status !== 409 || !xhr.getResponseHeader("HX-Retarget")) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.defaultPrevented) return;
  // The quick log's fields use Enter to choose; forms.js looks after them.
  const isDialog = event.target.matches("dialog :is(input, select, textarea):not([data-match-field], [data-who])");
  if (event.metaKey || event.ctrlKey || isDialog) {
    const form = event.target.closest?.("form");
    if (form && form.method !== "dialog") {
      event.preventDefault();
      form.requestSubmit();
    }
  }
});
