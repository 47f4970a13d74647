// The command palette: one field that goes anywhere, and does what the page's own keys do.
const palette = document.getElementById("palette");
const field = palette?.querySelector("[data-palette-input]");
const options = document.getElementById("palette-options");
let asked = 0;

// The page's acts are its buttons with a key; the palette presses them.
function acts() {
  const typed = field.value.trim().toLocaleLowerCase();
  const found = [...document.querySelectorAll("main [data-press]")].map((button) => {
    const words = button.cloneNode(true);
    words.querySelector("kbd")?.remove();
    return { button, key: button.dataset.press, title: words.textContent.trim() };
  });
  return found.filter((act) => act.title && act.title.toLocaleLowerCase().includes(typed)).slice(0, typed ? 12 : 6);
}

function offer(act) {
  const option = document.createElement("button");
  option.type = "button";
  option.className = "option";
  option.setAttribute("role", "option");
  const title = option.appendChild(document.createElement("span"));
  title.className = "title";
  title.textContent = act.title;
  option.appendChild(document.createElement("kbd")).textContent = act.key;
  option.appendChild(document.createElement("small")).textContent = field.dataset.act;
  option.addEventListener("click", () => {
    palette.close();
    act.button.click();
  });
  return option;
}

async function ask() {
  const number = ++asked;
  const answer = await fetch(`${field.dataset.url}?q=${encodeURIComponent(field.value)}`, {
    headers: { "HX-Request": "true" },
  });
  if (number !== asked || !answer.ok) return;
  options.innerHTML = await answer.text();
  const offered = acts().map(offer);
  if (!offered.length) return;
  options.querySelector(".empty")?.remove();
  options.prepend(...offered);
  // An act is chosen for nobody: only when its name was begun, or when there is nothing else.
  const typed = field.value.trim().toLocaleLowerCase();
  const begun = typed && offered.find((act) => act.textContent.toLocaleLowerCase().startsWith(typed));
  const chosen = begun || options.querySelector("[aria-selected]") || (typed && offered[0]);
  for (const option of options.querySelectorAll("[aria-selected]")) option.removeAttribute("aria-selected");
  if (chosen) chosen.setAttribute("aria-selected", "true");
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
field?.addEventListener("input", () => {
  // What was chosen belongs to other words; Enter waits for the answer to these.
  for (const option of options.querySelectorAll("[aria-selected]")) option.removeAttribute("aria-selected");
  ask();
});
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
