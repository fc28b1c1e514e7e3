// What a reader does with the page: details of a record, search, buttons, mouse and keyboard. It
// comes last and begins everything.

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
  for (const [name, value] of [["root", data.root], ["driver", data.driver], ["process", String(data.pid)], ...(data.version ? [["layerstore", data.version]] : []), ["began", data.began], ["lasts", timeText(end)]]) {
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
