// The board: a card is dragged to another status, or moved there with Shift and an arrow, or with v and a choice.
import { openDialog } from "./dialogs.js";

const ASKS = new Set(["resolve", "decline", "snooze", "duplicate", "reopen"]);
const movesOf = (card) => new Map((card.dataset.moves ?? "").split(" ").filter(Boolean).map((move) => move.split(":")));
const columns = () => [...document.querySelectorAll("[data-column]")];
let dragged = null;

function move(card, status) {
  const verb = movesOf(card).get(status);
  if (!verb) return false;
  const address = `${card.dataset.at}${verb}/`;
  if (ASKS.has(verb)) openDialog(address);
  else htmx.ajax("POST", address, { source: card, target: "#detail", swap: "none", values: { version: card.dataset.v } });
  return true;
}

document.addEventListener("dragstart", (event) => {
  const card = event.target.closest?.(".board-card");
  if (!card) return;
  dragged = card;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", card.dataset.row);
  const legal = movesOf(card);
  for (const column of columns()) column.classList.toggle("can-drop", legal.has(column.dataset.column));
});
document.addEventListener("dragend", () => {
  dragged = null;
  for (const column of columns()) column.classList.remove("can-drop", "is-over");
});
document.addEventListener("dragover", (event) => {
  const column = event.target.closest?.("[data-column].can-drop");
  for (const other of columns()) other.classList.toggle("is-over", other === column);
  if (column) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const column = event.target.closest?.("[data-column].can-drop");
  if (!column || !dragged) return;
  event.preventDefault();
  move(dragged, column.dataset.column);
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  if (document.body.dataset.shortcuts === "off" || document.querySelector("dialog[open]")) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select")) return;
  const card = document.querySelector("[data-list] [data-row][data-at][aria-current=true]");
  if (event.key === "v" && card) openDialog(`${card.dataset.at}move/`);
  else if (card?.matches(".board-card") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const by = event.key === "ArrowRight" ? 1 : -1;
    const all = columns();
    let at = all.indexOf(card.closest("[data-column]")) + by;
    if (event.shiftKey) {
      while (all[at] && !movesOf(card).has(all[at].dataset.column)) at += by;
      if (all[at]) move(card, all[at].dataset.column);
    } else {
      while (all[at] && !all[at].querySelector("[data-row]")) at += by;
      const next = all[at]?.querySelector("[data-row]");
      if (next) htmx.trigger(document.body, "lists:select", { row: next.dataset.row });
    }
  } else return;
  event.preventDefault();
});
