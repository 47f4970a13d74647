// The menu on small screens.
const side = document.getElementById("side");
const button = document.querySelector("[data-menu]");

function toggle(isOpen) {
  side?.classList.toggle("is-open", isOpen);
  button?.setAttribute("aria-expanded", String(isOpen));
}

button?.addEventListener("click", (event) => {
  event.stopPropagation();
  toggle(!side.classList.contains("is-open"));
});
document.addEventListener("click", (event) => {
  if (side?.classList.contains("is-open") && !side.contains(event.target)) toggle(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && side?.classList.contains("is-open")) {
    toggle(false);
    button.focus();
  }
});
// The key a person of this machine knows.
function nameKeys(part) {
  if (/Mac|iPhone|iPad/.test(navigator.userAgent)) return;
  for (const hint of part.querySelectorAll("kbd")) hint.textContent = hint.textContent.replace("⌘", "Ctrl ");
}
nameKeys(document);
document.addEventListener("htmx:afterSwap", (event) => nameKeys(event.target));
