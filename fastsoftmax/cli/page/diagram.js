// The whole way as a picture: forward down the left, back up the right, each gradient across from its quantity.
"use strict";

const CELL = 20;
const diagram = document.getElementById("diagram");

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const words = (x, y, text, attributes = {}) => svg("text", { x, y, "text-anchor": "middle", ...attributes }, text);

function svgShape(x, y, axes, attributes) {
  const made = words(x, y, "(", attributes);
  axes.forEach((a, i) => made.append(i ? ", " : "", svg("tspan", { class: `axis ${a}` }, a)));
  made.append(axes.length === 1 ? ",) = (" : ") = (");
  axes.forEach((a, i) => made.append(i ? ", " : "", svg("tspan", { class: `axis ${a}` }, String(sizes[a]))));
  made.append(axes.length === 1 ? ",)" : ")");
  return made;
}

const columns = (key) => sizes[steps[key].axes.at(-1)] ?? 1;
const rows = (key) => (steps[key].axes.length > 1 ? sizes[steps[key].axes.at(-2)] : 1);
const width = (key) => columns(key) * CELL;
const height = (key) => rows(key) * CELL;

// The values of a matrix as lines of text
function valueLines(key, value) {
  if (typeof value === "number") return [long(value)];
  if (typeof value[0] === "number") return [value.map((x) => shown(x, 2).padStart(6, "\u2007")).join(" ")];
  return value.flatMap((part, n) => [...(Array.isArray(part[0]) ? [`n = ${n}`] : []), ...valueLines(key, part)]);
}

const MOST_LINES = 12;
const boxes = new Map();

// Matrix `key` with its top in the middle at (x, y): a link to its step
function box(key, x, y, step) {
  const { axes, value } = steps[key];
  const [name, meaning] = NAMES[key];
  const lines = valueLines(key, value);
  const values = [...lines.slice(0, MOST_LINES), ...(lines.length > MOST_LINES ? ["…"] : [])];
  const sizesSaid = axes.length ? `shape ${axes.map((a) => sizes[a]).join(" by ")}` : "one number";
  const made = svg("a", {
    href: `#${step}`, class: "box", "aria-label": `${name}, ${meaning}, ${sizesSaid}: to its step`,
    "data-tip": [`${name}, ${meaning}`, ...values].join("\n"),
  });
  const cards = axes.length === 3 ? samples.toReversed() : [null];
  const left = x - width(key) / 2;
  for (const n of cards) {
    const shift = (n ?? 0) * 10;
    const card = { x: left + shift - 2, y: y - shift - 2, width: width(key) + 4, height: height(key) + 4 };
    made.append(svg("rect", { ...card, class: "card" }));
    for (const r of range(rows(key))) {
      for (const c of range(columns(key))) {
        const index = [...(n === null ? [] : [n]), r, c].slice(-axes.length || 3);
        const place = { x: left + c * CELL + shift, y: y + r * CELL - shift, width: CELL, height: CELL };
        made.append(showsEntry(svg("rect", place), key, index));
        if (at(key, ...index) < 0) made.append(words(place.x + CELL / 2, place.y + 14, "−", { class: "sign" }));
      }
    }
  }
  if (axes[0] === "N" && axes.length === 2) {
    const tick = { class: "axis N tick", "text-anchor": "end" };
    for (const n of samples) made.append(words(left - 8, y + n * CELL + 14, n, tick));
  }
  const top = y - (axes.length === 3 ? (N - 1) * 10 : 0);
  made.append(words(x, top - 10, key === "dZ" ? `G = ${name}` : name, { class: "name" }));
  boxes.set(key, made);
}

function operation(x, y, text, w = 250) {
  diagram.append(svg("rect", { x: x - w / 2, y, width: w, height: 28, rx: 14, class: "operation" }));
  diagram.append(words(x, y + 19, text));
}

// An arrow along points [x, y], its shape beside it
function arrow(points, axes, [x, y, anchor = "start"], attributes = {}) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
  diagram.append(svg("path", { d, class: "arrow", "marker-end": "url(#head)", ...attributes }));
  const aligned = { "text-anchor": anchor, class: "shape" };
  diagram.append(axes.length ? svgShape(x, y, axes, aligned) : words(x, y, "one number", aligned));
}

const ROOM = 16; // between the matrices of a layer, which have their arrows' shapes below them
const room = (key) => Math.max(width(key), 112) + ROOM;

// Where the columns (x) and rows (y) are; operation 1 makes Z, 2 P, 3 L
function layout() {
  const side = room("X") + room("W") + room("b");
  const middle = Math.max(width("J") + 130, 250);
  const centre = side + middle / 2;
  const top = 66 + Math.max(N, C) * CELL; // the feet of the first row
  const operation1 = top + 66, logits = operation1 + 84;
  const operation2 = logits + N * CELL + 44, probs = operation2 + 84;
  const jacobian = { x: centre - (N - 1) * 5, y: operation2 + 14 - height("J") / 2 };
  const targets = Math.max(probs + 10, jacobian.y + height("J") + 40);
  const operation3 = Math.max(probs, targets) + N * CELL + 66;
  diagram.setAttribute("viewBox", `-10 0 ${2 * side + middle + 20} ${operation3 + 56}`);
  return {
    side, centre, left: side / 2, right: side * 1.5 + middle,
    top, operation1, logits, operation2, probs, jacobian, targets, operation3,
  };
}

// X, W and b, or their gradients, and the arrows between them and the operation below
function drawLayer(keys, x, step, { side, top, operation1 }, back) {
  let start = x - side / 2;
  for (const key of keys) {
    const own = start + room(key) / 2;
    const end = x + (own - x) * 0.35;
    const points = [[own, top + 6], [own, top + 40], [end, top + 40], [end, operation1 - 2]];
    arrow(back ? points.toReversed() : points, steps[key].axes, [own, top + 29, "middle"]);
    box(key, own, top - height(key), step);
    start += room(key);
  }
}

function drawForward(place) {
  const { left, operation1, logits, operation2, probs, operation3 } = place;
  diagram.append(words(left, 22, "forward, down", { class: "heading" }));
  diagram.append(svg("path", { d: `M${left - 78} 12v10m-5 -5l5 6l5 -6`, class: "arrow" }));
  drawLayer(["X", "W", "b"], left, "forward-Z", place, false);
  operation(left, operation1, "Z = X Wᵀ + b");
  operation(left, operation2, "softmax of each row");
  operation(left, operation3, "mean cross-entropy");
  box("Z", left, logits, "forward-Z");
  box("P", left, probs, "forward-P");
  for (const [key, from, to] of [
    ["Z", operation1 + 28, logits - 28], ["Z", logits + N * CELL + 5, operation2 - 2],
    ["P", operation2 + 28, probs - 28], ["P", probs + N * CELL + 5, operation3 - 2],
  ]) {
    arrow([[left, from], [left, to]], steps[key].axes, [left + 8, from + 20]);
  }
}

function drawBack(place) {
  const { right, operation1, logits, operation2, probs, operation3 } = place;
  diagram.append(words(right, 22, "back, up", { class: "heading" }));
  diagram.append(svg("path", { d: `M${right - 58} 24v-10m-5 5l5 -6l5 6`, class: "arrow" }));
  drawLayer(["dX", "dW", "db"], right, "weights", place, true);
  operation(right, operation1, "G W,   Gᵀ X,   sum of the rows of G");
  operation(right, operation2, "row times matrix, each sample");
  operation(right, operation3, "its derivative, −Y / P / N");
  box("dZ", right, logits, "collapse");
  box("dP", right, probs, "loss-back");
  for (const [key, from, to] of [
    ["dP", operation3, probs + N * CELL + 7], ["dP", probs - 28, operation2 + 30],
    ["dZ", operation2, logits + N * CELL + 7], ["dZ", logits - 28, operation1 + 30],
  ]) {
    arrow([[right, from], [right, to]], steps[key].axes, [right + 8, Math.min(from - 8, to + 20)]);
  }
}

// J, the targets and the loss, which both ways use
function drawMiddle({ left, centre, right, operation2, probs, jacobian, targets, operation3 }) {
  const edge = jacobian.x + width("J") / 2 + (N - 1) * 10 + 5, bend = jacobian.x - width("J") / 2 - 30;
  const across = operation2 + 14;
  arrow([[edge, across], [right - 128, across]], steps.J.axes, [(edge + right - 128) / 2, across - 8, "middle"]);
  arrow(
    [[left + width("P") / 2 + 5, probs + 10], [bend, probs + 10], [bend, across], [bend + 26, across]],
    steps.P.axes, [bend - 8, across + 26, "end"], { "stroke-dasharray": "5 4" },
  );
  box("J", jacobian.x, jacobian.y, "jacobian");

  const loss = operation3 + 14;
  arrow([[left + 125, loss], [centre - 18, loss]], [], [(left + centre) / 2 + 54, loss + 18, "middle"]);
  arrow([[centre + 16, loss], [right - 128, loss]], [], [(right + centre) / 2 - 54, loss + 18, "middle"]);
  box("L", centre, operation3 + 4, "forward-L");

  const foot = targets + height("Y");
  for (const [way, anchor] of [[-1, "end"], [1, "start"]]) {
    const from = centre + (way * width("Y")) / 4, to = way < 0 ? left + 90 : right - 90;
    const points = [[from, foot + 6], [from, foot + 22], [to, foot + 22], [to, operation3 - 2]];
    arrow(points, steps.Y.axes, [from + 14 * way, foot + 17, anchor]);
  }
  box("Y", centre, targets, "forward-L");
}

const place = layout();
drawForward(place);
drawBack(place);
drawMiddle(place);
// In the order of the computation, which Tab and screen readers follow
for (const key of ["X", "W", "b", "Z", "P", "Y", "L", "dP", "J", "dZ", "dX", "dW", "db"]) diagram.append(boxes.get(key));
