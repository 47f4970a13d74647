// Pages that change ask for their own part every few seconds, and rest while nobody looks.
const EVERY = 5000;

setInterval(async () => {
  if (document.hidden || document.querySelector("dialog[open]")) return;
  for (const part of document.querySelectorAll("[data-poll]")) {
    if (part.querySelector("details[open]")) continue; // somebody is reading
    const url = new URL(part.dataset.poll, location.href);
    if (part.dataset.stamp) url.searchParams.set("stamp", part.dataset.stamp);
    const answer = await fetch(url, { headers: { "HX-Request": "true", "X-Background": "1" } }).catch(() => null);
    const unread = answer?.headers.get("X-Unread");
    if (unread !== null && unread !== undefined) document.dispatchEvent(new CustomEvent("notices:changed", { detail: { unread, isBackground: true } }));
    if (!answer || answer.status !== 200) continue;
    if (part.matches("[data-list]")) {
      document.dispatchEvent(new CustomEvent("incidents:changed", { detail: { isBackground: true } }));
      part.dataset.stamp = answer.headers.get("X-Stamp") ?? "";
      continue;
    }
    htmx.swap(part, await answer.text(), { swapStyle: "innerHTML" });
    part.dataset.stamp = answer.headers.get("X-Stamp") ?? "";
    if (answer.headers.get("X-Done")) part.removeAttribute("data-poll");
  }
}, EVERY);
