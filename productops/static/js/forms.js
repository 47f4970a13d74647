// Small helpers of forms: copy buttons, forms that submit when a choice is made, matches while typing.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.querySelector(button.dataset.copy)?.textContent ?? "";
  await navigator.clipboard.writeText(text.trim());
  const before = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = before), 1500);
});
document.addEventListener("change", (event) => {
  event.target.closest("[data-submit-on-change]")?.requestSubmit();
});

// Quick log: arrows choose a match, Enter joins it, Enter alone logs.
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
