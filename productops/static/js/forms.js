// Small helpers of forms: copy buttons, forms that submit when a choice is made.
// A hub on plain http has no clipboard API.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.body.appendChild(document.createElement("textarea"));
  field.className = "sr-only";
  field.value = text;
  field.select();
  document.execCommand("copy");
  field.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.querySelector(button.dataset.copy)?.textContent ?? "";
  await copy(text.trim());
  const before = [...button.childNodes];
  button.replaceChildren(button.dataset.done);
  setTimeout(() => button.replaceChildren(...before), 1500);
});
document.addEventListener("change", (event) => {
  event.target.closest("[data-submit-on-change]")?.requestSubmit();
});
