// Names people while one writes: after an @, whoever fits is offered; arrows choose, Enter or Tab takes.
const WORD = /(^|[\s(])@([^\s@][^@\n]{0,40}|)$/;
let box = null;
let field = null;
let asked = 0;

function close() {
  box?.remove();
  field?.removeAttribute("aria-expanded");
  field?.removeAttribute("aria-activedescendant");
  box = null;
}

const options = () => [...(box?.querySelectorAll("[role=option]") ?? [])];
const chosen = () => options().find((option) => option.getAttribute("aria-selected") === "true");

function choose(option) {
  for (const other of options()) other.setAttribute("aria-selected", String(other === option));
  field.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function take(option) {
  const start = field.value.lastIndexOf("@", field.selectionStart - 1);
  field.setRangeText(`@${option.dataset.mention} `, start, field.selectionStart, "end");
  close();
  field.focus();
}

function show(people) {
  close();
  if (!people.length) return;
  box = document.createElement("ul");
  box.className = "complete mention-box";
  box.id = "mention-box";
  box.setAttribute("role", "listbox");
  for (const [at, { name, mention }] of people.entries()) {
    const option = document.createElement("li");
    option.id = `mention-${at}`;
    option.textContent = name;
    option.dataset.mention = mention;
    option.setAttribute("role", "option");
    box.append(option);
  }
  field.after(box);
  field.setAttribute("aria-controls", box.id);
  field.setAttribute("aria-expanded", "true");
  choose(options()[0]);
}

async function ask() {
  const typed = WORD.exec(field.value.slice(0, field.selectionStart));
  const turn = ++asked;
  if (!typed) return close();
  const answer = await fetch(`${field.dataset.mentions}?q=${encodeURIComponent(typed[2])}`).catch(() => null);
  if (answer?.ok && turn === asked) show((await answer.json()).people);
}

document.addEventListener("input", (event) => {
  if (!event.target.matches?.("[data-mentions]")) return;
  field = event.target;
  ask();
});
document.addEventListener("keydown", (event) => {
  if (!box || event.target !== field) return;
  const all = options();
  const at = all.indexOf(chosen());
  if (event.key === "ArrowDown") choose(all[(at + 1) % all.length]);
  else if (event.key === "ArrowUp") choose(all[(at - 1 + all.length) % all.length]);
  else if ((event.key === "Enter" || event.key === "Tab") && !event.metaKey && !event.ctrlKey) take(chosen());
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("mousedown", (event) => {
  const option = event.target.closest?.(".mention-box [role=option]");
  if (option) {
    event.preventDefault();
    take(option);
  } else if (box && event.target !== field) close();
});
document.addEventListener("htmx:beforeSwap", close);
