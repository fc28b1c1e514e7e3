// What was recorded, and how much of it is in view: where a moment and a lane lie on the canvas,
// and what moves that. Paints nothing.

const data = JSON.parse(document.getElementById("data").textContent);
const records = data.records.map((r) => ({
  sequence: r[0], cause: r[1], request: r[2], from: r[3], to: r[4], kind: r[5], summary: r[6],
  sent: r[7], started: r[8], ended: r[9], outcome: r[10], facts: r[11],
}));
const byNumber = new Map(records.map((r) => [r.sequence, r]));
const ledTo = new Map(), answered = new Map();
for (const r of records) {
  if (!ledTo.has(r.cause)) ledTo.set(r.cause, []);
  ledTo.get(r.cause).push(r);
  if (r.kind === "Answer") answered.set(r.request, r);
  r.failed = r.outcome !== "ok" && r.outcome !== "pending";
  r.work = /^child /.test(data.lanes[r.to]) || (r.from === r.to && r.kind !== "Answer");
  r.group = r.kind === "Answer" ? "answer"
    : r.cause === 0 && data.lanes[r.from] === "caller" ? "call" : r.work ? "job" : "message";
  r.words = `${r.kind} ${r.summary} ${data.lanes[r.from]} ${data.lanes[r.to]} ${r.outcome} #${r.sequence}`
    .toLowerCase();
}

// The vertical scale: the moments in order, or time itself.
const moments = [...new Set(records.flatMap((r) => [r.sent, r.started, r.ended]))].sort((a, b) => a - b);
const rank = new Map(moments.map((at, index) => [at, index]));
const end = moments.length ? moments[moments.length - 1] : 1;
const scales = {
  order: { place: (at) => rank.get(at), size: Math.max(moments.length, 1), first: 11 },
  time: { place: (at) => at / 1000, size: Math.max(end / 1000, 1), first: 0 },
};
const TOP = 46, LEFT = 78, BOTTOM = 16;
const canvas = document.getElementById("diagram");
const pen = canvas.getContext("2d");
const stage = document.getElementById("stage");
const details = document.getElementById("details");
const search = document.getElementById("search");
const view = { mode: "order", top: 0, zoom: 11, left: 0, width: 0, height: 0, lane: 150 };
let selected = null, wanted = "", matches = [], chosen = -1, shown = [], drawing = false;
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ground", "panel", "text", "soft", "line", "lane", "accent", "call", "message", "job", "answer", "error", "mark"])
    colours[name] = style.getPropertyValue("--" + name).trim();
}
const place = (at) => scales[view.mode].place(at);
const yOf = (at) => TOP + (place(at) - view.top) * view.zoom;
const xOf = (lane) => LEFT + (lane + 0.5) * view.lane - view.left;
const groupColour = (r) => colours[r.failed ? "error" : r.group];

function timeText(ns) {
  const a = Math.abs(ns);
  if (a < 1e6) return (ns / 1e3).toPrecision(3) + " \u00b5s";
  if (a < 1e9) return (ns / 1e6).toPrecision(3) + " ms";
  return (ns / 1e9).toPrecision(4) + " s";
}

function gridText(ns) {
  return end < 1e10 ? (ns / 1e6).toFixed(end < 1e9 ? 3 : 2) + " ms" : (ns / 1e9).toFixed(3) + " s";
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  view.width = stage.clientWidth;
  view.height = stage.clientHeight;
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(view.height * ratio);
  canvas.style.width = view.width + "px";
  canvas.style.height = view.height + "px";
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  view.lane = Math.max(92, (view.width - LEFT - 10) / Math.max(data.lanes.length, 1));
  clamp();
  draw();
}
function rows() { return Math.max(view.height - TOP - BOTTOM, 1) / view.zoom; }
function clamp() {
  const size = scales[view.mode].size;
  view.top = Math.min(Math.max(view.top, -1), Math.max(size - rows() * 0.5, -1));
  const widest = LEFT + view.lane * data.lanes.length - view.width + 10;
  view.left = Math.min(Math.max(view.left, 0), Math.max(widest, 0));
}
function fit() {
  view.top = 0;
  view.zoom = Math.max(view.height - TOP - BOTTOM, 1) / (scales[view.mode].size + 1);
  if (view.mode === "order") view.zoom = Math.min(view.zoom, 22);
  view.left = 0;
  draw();
}
function setMode(mode) {
  const middle = selected ? selected.started : null;
  view.mode = mode;
  document.getElementById("by-order").setAttribute("aria-pressed", String(mode === "order"));
  document.getElementById("by-time").setAttribute("aria-pressed", String(mode === "time"));
  if (scales[mode].first) { view.zoom = scales[mode].first; view.top = -1; } else fit();
  if (middle !== null) reveal(selected);
  draw();
}
function reveal(r) {
  const y = yOf(r.started), x = xOf(r.to);
  if (y < TOP + 30 || y > view.height - 60) view.top = place(r.started) - rows() / 3;
  if (x < LEFT + 40 || x > view.width - 40) view.left += x - (LEFT + view.width) / 2;
  clamp();
  draw();
}
