// The command palette: one field that goes anywhere.
const palette = document.getElementById("palette");
const field = palette?.querySelector("[data-palette-input]");
const options = document.getElementById("palette-options");
let asked = 0;

async function ask() {
  const number = ++asked;
  const answer = await fetch(`${field.dataset.url}?q=${encodeURIComponent(field.value)}`, {
    headers: { "HX-Request": "true" },
  });
  if (number === asked && answer.ok) options.innerHTML = await answer.text();
}

function move(by) {
  const all = [...options.querySelectorAll("[role=option]")];
  const at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
  for (const option of all) option.removeAttribute("aria-selected");
  const found = all[(at + by + all.length) % all.length];
  found?.setAttribute("aria-selected", "true");
  found?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (!palette || event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
  event.preventDefault();
  if (palette.open) return palette.close();
  field.value = "";
  palette.showModal();
  ask();
});
field?.addEventListener("input", ask);
field?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(-1);
  else if (event.key === "Enter") options.querySelector("[aria-selected=true]")?.click();
  else return;
  event.preventDefault();
});
palette?.addEventListener("click", (event) => {
  if (event.target === palette) palette.close();
});
