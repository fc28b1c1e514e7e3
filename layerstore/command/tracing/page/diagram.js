// The diagram: paints what is in view, and knows which record lies at a point.

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
