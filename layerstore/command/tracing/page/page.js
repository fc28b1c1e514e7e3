"use strict";
(() => {
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

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; paint(); });
}
function strength(r) {
  if (selected && r.request !== selected.request) return 0.13;
  if (wanted && !selected && !r.matches) return 0.13;
  return 1;
}
function paint() {
  pen.clearRect(0, 0, view.width, view.height);
  pen.font = "12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
  shown = [];
  paintGrid();
  const bottom = view.height + 4;
  const seen = [];
  for (const r of records) {
    r.y0 = yOf(r.sent); r.y1 = yOf(r.started); r.y2 = yOf(r.ended);
    if (Math.max(r.y2, r.y1) >= TOP - 4 && Math.min(r.y0, r.y1) <= bottom) seen.push(r);
  }
  pen.save();
  pen.beginPath();
  pen.rect(LEFT - 6, TOP, view.width, view.height);
  pen.clip();
  paintLifelines();
  for (const r of seen) paintSpan(r);
  for (const r of seen) paintArrow(r);
  if (seen.length < 400) paintLabels(seen);
  pen.restore();
  paintLanes();
}
function paintGrid() {
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  pen.fillStyle = colours.soft;
  pen.strokeStyle = colours.line;
  pen.lineWidth = 1;
  const pixels = 44;
  if (view.mode === "order") {
    const step = Math.max(1, Math.round(pixels / view.zoom));
    const first = Math.max(Math.ceil(view.top / step) * step, 0);
    for (let n = first; n < moments.length && yOf(moments[n]) < view.height; n += step) gridLine(moments[n]);
  } else {
    let step = 10 ** Math.ceil(Math.log10(pixels / view.zoom));
    if (step / 5 * view.zoom >= pixels) step /= 5; else if (step / 2 * view.zoom >= pixels) step /= 2;
    const first = Math.max(Math.ceil(view.top / step) * step, 0);
    for (let at = first; TOP + (at - view.top) * view.zoom < view.height; at += step) gridLine(at * 1000);
  }
}
function gridLine(at) {
  const y = Math.round(view.mode === "order" ? yOf(at) : TOP + (at / 1000 - view.top) * view.zoom) + 0.5;
  if (y < TOP + 4) return;
  pen.globalAlpha = 0.6;
  pen.beginPath(); pen.moveTo(LEFT - 4, y); pen.lineTo(view.width, y); pen.stroke();
  pen.globalAlpha = 1;
  pen.fillText(gridText(at), LEFT - 10, y);
}
function paintLifelines() {
  pen.strokeStyle = colours.lane;
  pen.setLineDash([2, 4]);
  for (let lane = 0; lane < data.lanes.length; lane++) {
    const x = xOf(lane);
    pen.beginPath(); pen.moveTo(x, TOP - 6); pen.lineTo(x, view.height); pen.stroke();
  }
  pen.setLineDash([]);
}
function paintLanes() {
  pen.fillStyle = colours.panel;
  pen.fillRect(0, 0, view.width, TOP - 8);
  pen.fillStyle = colours.line;
  pen.fillRect(0, TOP - 8, view.width, 1);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  data.lanes.forEach((name, lane) => {
    const x = xOf(lane);
    if (x < LEFT - view.lane || x > view.width + view.lane) return;
    pen.fillStyle = colours.text;
    pen.font = "600 11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
    pen.fillText(cut(name, view.lane - 8), x, (TOP - 8) / 2);
  });
}
function cut(text, width) {
  if (pen.measureText(text).width <= width) return text;
  let n = Math.max(Math.floor(text.length * width / pen.measureText(text).width) - 1, 0);
  return n > 2 ? text.slice(0, n) + "\u2026" : "";
}
function paintSpan(r) {
  if (r.kind === "Answer") return;
  const x = xOf(r.to), half = r.work && r.from === r.to ? 3.5 : 7;
  const height = Math.max(r.y2 - r.y1, 2);
  pen.globalAlpha = strength(r);
  pen.fillStyle = groupColour(r);
  pen.beginPath();
  if (pen.roundRect) pen.roundRect(x - half, r.y1, half * 2, height, Math.min(3, height / 2));
  else pen.rect(x - half, r.y1, half * 2, height);
  pen.fill();
  if (r === selected || (wanted && r.matches)) {
    pen.lineWidth = r === selected ? 3 : 2;
    pen.strokeStyle = r === selected ? colours.text : colours.mark;
    pen.stroke();
  }
  pen.globalAlpha = 1;
  shown.push({ r, x0: x - half - 3, x1: x + half + 3, y0: r.y1 - 2, y1: r.y1 + height + 2 });
}
function paintArrow(r) {
  const x0 = xOf(r.from), x1 = xOf(r.to);
  if (r.from === r.to) return;
  const side = Math.sign(x1 - x0), tip = x1 - side * (r.kind === "Answer" ? 2 : 8);
  const y0 = r.work ? r.y1 : r.y0, y1 = r.y1, start = x0 + side * 7;
  pen.globalAlpha = strength(r);
  pen.strokeStyle = pen.fillStyle = groupColour(r);
  pen.lineWidth = r === selected ? 2.6 : selected && r.request === selected.request ? 1.8 : 1.2;
  if (r.kind === "Answer") pen.setLineDash([5, 4]);
  pen.beginPath(); pen.moveTo(start, y0); pen.lineTo(tip, y1); pen.stroke();
  pen.setLineDash([]);
  const turn = Math.atan2(y1 - y0, tip - start);
  pen.save();
  pen.translate(tip, y1); pen.rotate(turn);
  pen.beginPath(); pen.moveTo(0, 0); pen.lineTo(-7, -3.6); pen.lineTo(-7, 3.6); pen.closePath(); pen.fill();
  pen.restore();
  pen.globalAlpha = 1;
  shown.push({ r, line: [start, y0, tip, y1] });
}
function paintLabels(seen) {
  const taken = [];
  pen.font = "11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
  pen.textBaseline = "alphabetic";
  for (const r of seen) {
    const weight = strength(r);
    if (weight < 1) continue;
    const x0 = xOf(r.from), x1 = xOf(r.to), own = r.from === r.to;
    const room = own ? view.lane - 30 : Math.max(Math.abs(x1 - x0) - 40, 60);
    const text = cut(r.summary ? `${r.kind} ${r.summary}` : r.kind, room);
    if (!text) continue;
    const width = pen.measureText(text).width;
    const middle = own ? x1 + 14 + width / 2 : (x0 + x1) / 2;
    const y = own ? r.y1 + 8 : (r.work ? r.y1 : (r.y0 + r.y1) / 2) - 4;
    const box = [middle - width / 2 - 3, y - 10, middle + width / 2 + 3, y + 3];
    if (taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1])) continue;
    taken.push(box);
    pen.globalAlpha = 0.82;
    pen.fillStyle = wanted && r.matches ? colours.mark : colours.ground;
    pen.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    pen.globalAlpha = 1;
    pen.fillStyle = groupColour(r);
    pen.textAlign = "center";
    pen.fillText(text, middle, y);
    shown.push({ r, x0: box[0], x1: box[2], y0: box[1], y1: box[3] });
  }
}

function at(x, y) {
  let best = null, nearest = 7;
  for (const s of shown) {
    let away;
    if (s.line) {
      const [x0, y0, x1, y1] = s.line, dx = x1 - x0, dy = y1 - y0;
      const t = Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1), 0), 1);
      away = Math.hypot(x - x0 - t * dx, y - y0 - t * dy) + 1;
    } else {
      away = Math.hypot(Math.max(s.x0 - x, 0, x - s.x1), Math.max(s.y0 - y, 0, y - s.y1));
    }
    if (away < nearest || (away === nearest && best && s.r.work)) { best = s.r; nearest = away; }
  }
  return best;
}

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function link(r, list) {
  const button = element("button", `#${r.sequence} ${r.kind} ${r.summary} \u2192 ${data.lanes[r.to]}`, element("li", undefined, list));
  button.addEventListener("click", () => { select(r); reveal(r); });
}
function select(r) {
  selected = r;
  details.replaceChildren();
  if (r) tell(r); else overview();
  draw();
}
function tell(r) {
  element("h2", r.kind, details);
  element("p", r.summary, details);
  const list = element("dl", undefined, details);
  const fact = (name, value, kind) => {
    element("dt", name, list);
    const cell = element("dd", value, list);
    if (kind) cell.className = kind;
  };
  fact("number", String(r.sequence));
  fact("request", String(r.request));
  fact("from", data.lanes[r.from]);
  fact("to", data.lanes[r.to]);
  fact("outcome", r.outcome, r.failed ? "error" : "");
  const answer = r.group === "call" && answered.get(r.request);
  if (answer) fact("answer", `${answer.outcome} after ${timeText(answer.ended - r.sent)}`, answer.failed ? "error" : "");
  fact("sent", timeText(r.sent));
  fact("waited", timeText(r.started - r.sent));
  fact("worked", timeText(r.ended - r.started));
  for (const [name, value] of Object.entries(r.facts))
    fact(name, typeof value === "string" ? value : JSON.stringify(value));
  const cause = byNumber.get(r.cause);
  if (cause) { element("h3", "Caused by", details); link(cause, element("ul", undefined, details)); }
  const children = ledTo.get(r.sequence) || [];
  if (children.length) {
    element("h3", "Led to", details);
    const items = element("ul", undefined, details);
    for (const child of children.slice(0, 200)) link(child, items);
  }
}
function overview() {
  element("h2", `${records.length} records`, details);
  element("p", "Wheel: zoom. Drag: move. Click: details, and what it belongs to.", details);
  const list = element("dl", undefined, details);
  for (const [name, value] of [["root", data.root], ["driver", data.driver], ["process", String(data.pid)], ["began", data.began], ["lasts", timeText(end)]]) {
    element("dt", name, list);
    element("dd", value, list);
  }
  element("h3", "Colours", details);
  for (const [name, text] of [["call", "a caller's request"], ["message", "a message between actors"], ["job", "work of a worker or its child"], ["answer", "an answer to a caller"], ["error", "what failed"]]) {
    const item = element("div", undefined, details);
    const key = element("span", undefined, item);
    key.className = "key";
    key.style.background = `var(--${name})`;
    item.append(text);
  }
  for (const note of data.notes) element("p", note, details);
}
function reveal(r) {
  const y = yOf(r.started), x = xOf(r.to);
  if (y < TOP + 30 || y > view.height - 60) view.top = place(r.started) - rows() / 3;
  if (x < LEFT + 40 || x > view.width - 40) view.left += x - (LEFT + view.width) / 2;
  clamp();
  draw();
}

function look(text) {
  wanted = text.trim().toLowerCase();
  matches = [];
  for (const r of records) {
    r.matches = wanted !== "" && r.words.includes(wanted);
    if (r.matches) matches.push(r);
  }
  chosen = -1;
  if (wanted && selected) select(null);
  document.getElementById("found").textContent = wanted ? `${matches.length} found` : "";
  if (matches.length) reveal(matches[0]);
  draw();
}
function step(by) {
  if (!matches.length) return;
  chosen = chosen < 0 ? (by > 0 ? 0 : matches.length - 1) : (chosen + by + matches.length) % matches.length;
  document.getElementById("found").textContent = `${chosen + 1} of ${matches.length}`;
  select(matches[chosen]);
  reveal(matches[chosen]);
}

search.addEventListener("input", () => look(search.value));
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
});
document.getElementById("next").addEventListener("click", () => step(1));
document.getElementById("previous").addEventListener("click", () => step(-1));
document.getElementById("by-order").addEventListener("click", () => setMode("order"));
document.getElementById("by-time").addEventListener("click", () => setMode("time"));
document.getElementById("fit").addEventListener("click", fit);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { search.value = ""; look(""); select(null); }
  else if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    view.left += event.deltaX || event.deltaY;
  } else {
    const y = event.offsetY - TOP, before = view.top + y / view.zoom;
    const least = Math.max(view.height - TOP, 1) / (scales[view.mode].size + 1) / 2;
    view.zoom = Math.min(Math.max(view.zoom * Math.exp(-event.deltaY * 0.0016), Math.min(least, 1)), 4000);
    view.top = before - y / view.zoom;
  }
  clamp();
  draw();
}, { passive: false });
let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, top: view.top, left: view.left, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) { canvas.style.cursor = at(event.offsetX, event.offsetY) ? "pointer" : ""; return; }
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) > 4) drag.moved = true;
  if (!drag.moved) return;
  canvas.classList.add("dragging");
  view.top = drag.top - dy / view.zoom;
  view.left = drag.left - dx;
  clamp();
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag && drag.moved;
  drag = null;
  canvas.classList.remove("dragging");
  if (!moved) select(at(event.offsetX, event.offsetY));
});
window.addEventListener("resize", resize);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });

document.getElementById("about").textContent = `${data.root} \u00b7 ${data.driver} \u00b7 process ${data.pid} \u00b7 ${data.began}`;
// For whoever drives the page by a program.
window.trace = {
  view, records,
  selected: () => selected && selected.sequence,
  matches: () => matches.map((r) => r.sequence),
  where: (sequence) => {
    const r = byNumber.get(sequence), box = canvas.getBoundingClientRect();
    return { x: box.left + xOf(r.to), y: box.top + (yOf(r.started) + yOf(r.ended)) / 2 };
  },
};
readColours();
select(null);
resize();
setMode("order");
})();
