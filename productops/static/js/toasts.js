// What just happened, with its undo for at least ten seconds.
const place = document.getElementById("toasts");
const STAYS = 12000;

export function toast({ text, undo = "", isError = false }) {
  const box = document.createElement("div");
  box.className = isError ? "toast is-error" : "toast";
  box.append(text);
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.dataset.undoNow = "";
    button.textContent = place.dataset.undo;
    button.addEventListener("click", () => {
      box.remove();
      const target = document.getElementById("detail") ?? document.body;
      htmx.ajax("POST", undo, { source: place, target, swap: target === document.body ? "none" : "innerHTML" });
    });
    for (const other of place.querySelectorAll("[data-undo-now]")) other.closest(".toast").remove();
    box.append(button);
  }
  for (const other of place.children) if (other.textContent === box.textContent) other.remove();
  place.append(box);
  setTimeout(() => box.remove(), STAYS);
}

for (const given of place.querySelectorAll(".toast")) setTimeout(() => given.remove(), STAYS);
document.addEventListener("toast", (event) => toast(event.detail));
document.addEventListener("htmx:sendError", () => toast({ text: place.dataset.offline, isError: true }));
document.addEventListener("htmx:responseError", (event) => {
  const told = event.detail.xhr.getResponseHeader("X-Problem");
  toast({ text: told ? decodeURIComponent(told) : place.dataset.failed, isError: true });
});
