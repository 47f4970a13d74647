// Single keys, by the character typed (layouts differ), silent in fields and when switched off.
import { openDialog } from "./dialogs.js";

const isOff = () => document.body.dataset.shortcuts === "off";
const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]");
let wantsPlace = false;
let early = null; // what is typed between "c" and the open dialog

function press(selector) {
  const found = document.querySelector(selector);
  if (!found) return false;
  found.click();
  return true;
}

// The dialog takes a moment to come; nothing typed meanwhile is lost, or taken for another key.
function log() {
  const link = document.querySelector(".side a[data-dialog]");
  if (!link) return false;
  early = "";
  openDialog(link.href).finally(() => {
    const field = document.querySelector("#dialog textarea");
    if (field && early) {
      field.value = early + field.value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      setTimeout(() => htmx.trigger(field, "ask"), 100); // htmx saw no change: it was there before
    }
    early = null;
  });
  return true;
}

function byKey(key) {
  if (key === "?") return document.getElementById("help")?.showModal() ?? true;
  if (key === "/" || key === "f") {
    const field = document.querySelector("[data-search]");
    field?.focus();
    field?.select();
    return Boolean(field);
  }
  if (key === "c") return log();
  if (key === "z") return press("#toasts [data-undo-now]");
  return press(`[data-press="${CSS.escape(key)}"]`);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || isOff()) return;
  if (early !== null) {
    if (event.key.length === 1) early += event.key;
    event.preventDefault();
    return;
  }
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const key = event.key;
  if (wantsPlace) {
    wantsPlace = false;
    if (press(`.side a[data-key="${CSS.escape(key)}"]`)) event.preventDefault();
    return;
  }
  if (key === "g") {
    wantsPlace = true;
    setTimeout(() => (wantsPlace = false), 1500);
    return;
  }
  if (byKey(key)) event.preventDefault();
});
