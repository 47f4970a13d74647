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
if (!/Mac|iPhone|iPad/.test(navigator.userAgent)) {
  for (const hint of document.querySelectorAll("kbd")) {
    if (hint.textContent === "⌘K") hint.textContent = "Ctrl K";
  }
}
