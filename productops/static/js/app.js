// One entry: each module binds itself to its data- hooks.
import "./board.js";
import "./many.js";
import "./query.js";
import "./dialogs.js";
import "./keys.js";
import "./lists.js";
import "./mentions.js";
import "./notices.js";
import "./palette.js";
import "./poll.js";
import "./quicklog.js";
import "./shell.js";
import "./toasts.js";
import "./forms.js";
import "./zone.js";

if (document.querySelector("[data-chart]")) {
  import("./chart.js");
}
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.querySelector?.("[data-chart]:not([data-drawn])")) {
    import("./chart.js").then((chart) => chart.drawAll());
  }
});
