// Charts: the new release against the older ones with their band, deploys as marks, a card on hover.
import uPlot from "../vendor/uplot-1.6.32.esm.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const language = document.documentElement.lang;
const zone = document.documentElement.dataset.zone;
let probe = null;

// Canvas does not know light-dark(): let the browser resolve it.
function ink(name) {
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = color(name);
  return getComputedStyle(probe).color;
}

function teller(unit, turned) {
  if (unit === "ms") return (v) => `${Math.round(v).toLocaleString(language)} ms`;
  if (unit === "count") return (v) => Math.round(v).toLocaleString(language);
  const digits = turned ? 2 : 1;
  return (v) =>
    `${(v * 100).toLocaleString(language, { maximumFractionDigits: digits, minimumFractionDigits: 0 })} %`;
}

// Hours as the reader's clock shows them; a new day says its date.
function tellTimes(_u, all) {
  let day = "";
  return all.map((at) => {
    const moment = new Date(at * 1000);
    const date = moment.toLocaleDateString(language, { day: "numeric", month: "short", timeZone: zone });
    const time = moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone });
    const isNew = date !== day;
    day = date;
    return time === "00:00" || isNew ? date : time;
  });
}

function columns(data) {
  const turn = (list) => (data.turned ? list?.map((v) => (v === null ? null : 1 - v)) : list);
  const empty = data.times.map(() => null);
  return [
    data.times,
    turn(data.high) ?? empty,
    turn(data.low) ?? empty,
    turn(data.old) ?? empty,
    turn(data.new) ?? empty,
  ];
}

function markPlugin(data) {
  return {
    hooks: {
      draw: (u) => {
        const { ctx, bbox } = u;
        ctx.save();
        ctx.strokeStyle = ink("--ink-3");
        ctx.fillStyle = ink("--ink-3");
        ctx.font = `${11 * devicePixelRatio}px Inter, sans-serif`;
        ctx.textAlign = "left";
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        let free = 0;
        for (const mark of data.marks) {
          const x = Math.round(u.valToPos(mark.at, "x", true));
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const text = mark.percentage === null ? mark.name : `${mark.name} · ${mark.percentage} %`;
          const width = ctx.measureText(text).width + 8;
          if (x > free && x + width < bbox.left + bbox.width) {
            ctx.fillText(text, x + 4, bbox.top + 11 * devicePixelRatio);
            free = x + width;
          }
        }
        ctx.restore();
      },
    },
  };
}

function hoverPlugin(data, tell, place) {
  const card = Object.assign(document.createElement("div"), { className: "hover-card", hidden: true });
  const line = (text, isStrong) => {
    const p = document.createElement("p");
    p.textContent = text;
    if (isStrong) p.className = "strong";
    return p;
  };
  return {
    hooks: {
      init: () => place.append(card),
      setCursor: (u) => {
        const at = u.cursor.idx;
        if (at === null || at === undefined || u.cursor.left < 0) return (card.hidden = true);
        const when = new Date(data.times[at] * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23", timeZone: zone });
        const rows = [line(when, true)];
        const values = columns(data);
        if (values[4][at] !== null) rows.push(line(`${data.names.new}: ${tell(values[4][at])} (n ${data.new_n[at].toLocaleString(language)})`));
        if (data.old && values[3][at] !== null) rows.push(line(`${data.names.old}: ${tell(values[3][at])} (n ${data.old_n[at].toLocaleString(language)})`));
        card.replaceChildren(...rows);
        card.hidden = false;
        const left = u.over.offsetLeft + u.cursor.left + 12;
        card.style.left = `${Math.min(left, place.clientWidth - card.offsetWidth - 4)}px`;
        card.style.top = "8px";
      },
    },
  };
}

function legend(data, place) {
  const box = Object.assign(document.createElement("p"), { className: "chart-legend" });
  const entry = (name, kind) => {
    const span = document.createElement("span");
    span.append(Object.assign(document.createElement("i"), { className: kind }), name);
    box.append(span);
  };
  entry(data.names.new, data.old ? "is-new" : "");
  if (data.old) entry(data.names.old, "");
  if (data.low?.some((v, at) => v !== null && data.low[at + 1] != null)) entry(data.names.band, "is-band");
  place.append(box);
}

function options(data, place) {
  const tell = teller(data.unit, data.turned);
  const axis = { stroke: ink("--ink-3"), font: "11px Inter, sans-serif", ticks: { show: false } };
  const grid = { stroke: ink("--line-soft"), width: 1 };
  const points = { show: false };
  const main = data.old ? ink("--bad") : ink("--accent");
  return {
    width: place.clientWidth,
    height: place.classList.contains("tall") ? 320 : 200,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: { y: { range: (_u, low, high) => [data.turned ? low - (high - low) * 0.1 : 0, high + (high - low || 1e-3) * 0.15] } },
    axes: [
      { ...axis, grid: { show: false }, space: 72, values: tellTimes },
      { ...axis, grid, size: 56, values: (_u, all) => all.map(tell) },
    ],
    bands: [{ series: [1, 2], fill: ink("--accent-soft") }],
    series: [
      {},
      { stroke: "transparent", points, spanGaps: false },
      { stroke: "transparent", points, spanGaps: false },
      { stroke: ink("--accent"), width: 1.5, points, spanGaps: true },
      { stroke: main, width: 2, points, spanGaps: true },
    ],
    plugins: [markPlugin(data), hoverPlugin(data, tell, place)],
  };
}

async function draw(place) {
  place.dataset.drawn = "";
  const answer = await fetch(place.dataset.chart).catch(() => null);
  if (!answer?.ok) return;
  const data = await answer.json();
  const chart = new uPlot(options(data, place), columns(data), place);
  legend(data, place);
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: chart.height })).observe(place);
}

export function drawAll() {
  for (const place of document.querySelectorAll("[data-chart]:not([data-drawn])")) draw(place);
}
drawAll();
