// The number beside the bell follows every answer; "e" reads the notice one stands on.
document.addEventListener("notices:changed", ({ detail }) => {
  const count = document.getElementById("side-unread");
  const unread = Number(detail.unread) || 0;
  if (count && count.textContent !== String(unread || "")) count.textContent = unread || "";
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "e" || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  if (document.body.dataset.shortcuts === "off" || event.target.closest?.("input, textarea, select, dialog[open]")) return;
  const row = document.querySelector('[data-list="notices"] [data-row][aria-current=true]');
  row?.querySelector("[data-read]")?.click();
  if (row) event.preventDefault();
});
