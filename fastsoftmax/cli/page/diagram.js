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

function svgShape(x, y, axes, attributes = {}) {
  const made = words(x, y, "(", { class: "shape", ...attributes });
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

// Matrix `key` with its top in the middle at (x, y): a link to its step
function box(key, x, y, step) {
  const { axes, value } = steps[key];
  const [name, meaning] = NAMES[key];
  const lines = valueLines(key, value);
  const sizesSaid = axes.length ? `shape ${axes.map((a) => sizes[a]).join(" by ")}` : "one number";
  const made = svg("a", {
    href: `#${step}`, class: "box", "aria-label": `${name}, ${meaning}, ${sizesSaid}: to its step`,
    "data-tip": [`${name}, ${meaning}`, ...lines].join("\n"),
  });
  const cards = axes.length === 3 ? samples.toReversed() : [null];
  const left = x - width(key) / 2;
  for (const n of cards) {
    const shift = (n ?? 0) * 10;
    made.append(svg("rect", { x: left + shift - 2, y: y - shift - 2, width: width(key) + 4, height: height(key) + 4, class: "card" }));
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
    for (const n of samples) made.append(words(left - 8, y + n * CELL + 14, n, { class: "axis N tick", "text-anchor": "end" }));
  }
  const top = y - (axes.length === 3 ? (N - 1) * 10 : 0);
  made.append(words(x, top - 10, key === "dZ" ? `G = ${name}` : name, { class: "name" }));
  diagram.append(made);
}

function operation(x, y, text, w = 250) {
  diagram.append(svg("rect", { x: x - w / 2, y, width: w, height: 28, rx: 14, class: "operation" }));
  diagram.append(words(x, y + 19, text));
}

// An arrow along points [x, y], its shape beside it
function arrow(points, axes, label, attributes = {}) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
  diagram.append(svg("path", { d, class: "arrow", "marker-end": "url(#head)", ...attributes }));
  if (!label) return;
  const [x, y, anchor = "start"] = label;
  diagram.append(axes.length ? svgShape(x, y, axes, { "text-anchor": anchor }) : words(x, y, "one number", { "text-anchor": anchor, class: "shape" }));
}

function draw() {
  const room = (key) => Math.max(width(key), 112);
  const layer = ["X", "W", "b"];
  const side = layer.reduce((sum, key) => sum + room(key) + 16, 0);
  const middle = Math.max(width("J") + 130, 250);
  const [left, centre, right] = [side / 2, side + middle / 2, side * 1.5 + middle];
  const tall = Math.max(N, C) * CELL;
  const first = 66, afterFirst = first + tall, pillA = afterFirst + 66;
  const second = pillA + 84, afterSecond = second + N * CELL, pillB = afterSecond + 44;
  const third = pillB + 84, afterThird = third + N * CELL;
  const jacobianTop = pillB + 14 - height("J") / 2, jacobianX = centre - (N - 1) * 5;
  const targets = Math.max(third + 10, jacobianTop + height("J") + 40), low = targets + height("Y");
  const pillC = Math.max(afterThird, low) + 66;
  const total = pillC + 56;
  diagram.setAttribute("viewBox", `-10 0 ${2 * side + middle + 20} ${total}`);
  diagram.append(words(left, 22, "forward, down", { class: "heading" }), words(right, 22, "back, up", { class: "heading" }));
  diagram.append(svg("path", { d: `M${left - 78} 12v10m-5 -5l5 6l5 -6M${right - 58} 24v-10m-5 5l5 -6l5 6`, class: "arrow" }));

  for (const [keys, start, step, back] of [[layer, left, "forward-Z", false], [["dX", "dW", "db"], right, "weights", true]]) {
    let x = start - side / 2;
    for (const key of keys) {
      const middleOf = x + (room(key) + 16) / 2, bottom = first + tall;
      const end = start + (middleOf - start) * 0.35;
      const points = [[middleOf, bottom + 6], [middleOf, bottom + 40], [end, bottom + 40], [end, pillA - 2]];
      arrow(back ? points.toReversed() : points, steps[key].axes, [middleOf, bottom + 29, "middle"]);
      box(key, middleOf, first + tall - height(key), step);
      x += room(key) + 16;
    }
  }
  operation(left, pillA, "Z = X Wᵀ + b");
  operation(right, pillA, "G W,   Gᵀ X,   sum of the rows of G");
  arrow([[left, pillA + 28], [left, second - 28]], steps.Z.axes, [left + 8, pillA + 46]);
  arrow([[right, second - 28], [right, pillA + 30]], steps.dZ.axes, [right + 8, pillA + 48]);
  box("Z", left, second, "forward-Z");
  box("dZ", right, second, "collapse");
  arrow([[left, afterSecond + 5], [left, pillB - 2]], steps.Z.axes, [left + 8, afterSecond + 27]);
  arrow([[right, pillB], [right, afterSecond + 7]], steps.dZ.axes, [right + 8, afterSecond + 27]);
  operation(left, pillB, "softmax of each row");
  operation(right, pillB, "row times matrix, each sample");
  arrow([[left, pillB + 28], [left, third - 28]], steps.P.axes, [left + 8, pillB + 46]);
  arrow([[right, third - 28], [right, pillB + 30]], steps.dP.axes, [right + 8, pillB + 48]);
  box("P", left, third, "forward-P");
  box("dP", right, third, "loss-back");

  const edge = jacobianX + width("J") / 2 + (N - 1) * 10 + 5;
  arrow([[edge, pillB + 14], [right - 128, pillB + 14]], steps.J.axes, [(edge + right - 128) / 2, pillB + 6, "middle"]);
  const bend = jacobianX - width("J") / 2 - 30;
  arrow([[left + width("P") / 2 + 5, third + 10], [bend, third + 10], [bend, pillB + 14], [bend + 26, pillB + 14]],
    steps.P.axes, [bend - 8, pillB + 40, "end"], { "stroke-dasharray": "5 4" });
  box("J", jacobianX, jacobianTop, "jacobian");

  arrow([[left, afterThird + 5], [left, pillC - 2]], steps.P.axes, [left + 8, afterThird + 27]);
  arrow([[right, pillC], [right, afterThird + 7]], steps.dP.axes, [right + 8, afterThird + 27]);
  operation(left, pillC, "mean cross-entropy");
  operation(right, pillC, "its derivative, −Y / P / N");
  box("L", centre, pillC + 4, "forward-L");
  arrow([[left + 125, pillC + 14], [centre - 18, pillC + 14]], [], [(left + centre) / 2 + 54, pillC + 32, "middle"]);
  arrow([[centre + 16, pillC + 14], [right - 128, pillC + 14]], [], [(right + centre) / 2 - 54, pillC + 32, "middle"]);
  box("Y", centre, targets, "forward-L");
  const [from, to] = [centre - width("Y") / 4, centre + width("Y") / 4];
  arrow([[from, low + 6], [from, low + 22], [left + 90, low + 22], [left + 90, pillC - 2]], steps.Y.axes, [from - 14, low + 17, "end"]);
  arrow([[to, low + 6], [to, low + 22], [right - 90, low + 22], [right - 90, pillC - 2]], steps.Y.axes, [to + 14, low + 17, "start"]);
}
draw();
