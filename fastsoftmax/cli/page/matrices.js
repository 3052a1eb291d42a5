// Matrices as tables, equations of them, and what each entry is made of, which hover and keyboard focus show.
"use strict";

const { sizes, labels, steps } = JSON.parse(document.getElementById("data").textContent);
const { N, D, C } = sizes;
const LETTERS = { N: "n", D: "d", C: "c" };
const NAMES = {
  X: ["X", "samples"], W: ["W", "weights"], b: ["b", "biases"], Z: ["Z", "logits"], P: ["P", "probabilities"],
  Y: ["Y", "targets"], L: ["L", "loss"], dP: ["∂L/∂P", "gradient at the probabilities"], J: ["J", "Jacobian"],
  naive: ["∂L/∂Z", "gradient at the logits, the naive way"], inner: ["s", "inner products"],
  fast: ["∂L/∂Z", "gradient at the logits, the fast way"], dZ: ["∂L/∂Z", "gradient at the logits"],
  outer: ["outer", "outer products"], dW: ["∂L/∂W", "gradient at the weights"],
  db: ["∂L/∂b", "gradient at the biases"], dX: ["∂L/∂X", "gradient at the samples"],
  dP2: ["∂L/∂P", "gradient at the probabilities, squared error"],
  naive2: ["∂L/∂Z", "gradient at the logits, squared error"],
};

const range = (n) => Array.from({ length: n }, (_, i) => i);
const at = (key, ...index) => index.reduce((value, i) => value[i], steps[key].value);
const shown = (number, digits) => number.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
const long = (number) => String(Number(number.toPrecision(4))).replaceAll("-", "−");
const factor = (number) => (number < 0 ? `(${long(number)})` : long(number));
const product = (a, b) => `${factor(a)} × ${factor(b)}`;

// What an entry is computed from: the entries [key, ...index], and the sum written out
const SUM = (indices, first, second) => ({
  from: indices.flatMap((i) => [first(i), second(i)]),
  text: indices.map((i) => product(at(...first(i)), at(...second(i)))).join(" + "),
});
const classes = range(C), features = range(D), samples = range(N);
const vjp = (dP) => (n, j) => SUM(classes, (i) => [dP, n, i], (i) => ["J", n, i, j]);
const HOW = {
  Z(n, c) {
    const { from, text } = SUM(features, (d) => ["X", n, d], (d) => ["W", c, d]);
    return { from: [...from, ["b", c]], text: `${text} + ${factor(at("b", c))}` };
  },
  P: (n, c) => ({
    from: classes.map((k) => ["Z", n, k]),
    text: `exp(${long(at("Z", n, c))}) / (${classes.map((k) => `exp(${long(at("Z", n, k))})`).join(" + ")})`,
  }),
  Y: (n, c) => ({ from: [], text: `the label of sample ${n} is ${labels[n]}${c === labels[n] ? "" : `, not ${c}`}` }),
  L: () => ({
    from: samples.flatMap((n) => [["P", n, labels[n]], ["Y", n, labels[n]]]),
    text: `−1/${N} × (${samples.map((n) => `log ${long(at("P", n, labels[n]))}`).join(" + ")})`,
  }),
  dP: (n, c) => ({ from: [["Y", n, c], ["P", n, c]], text: `−1/${N} × ${at("Y", n, c)} / ${long(at("P", n, c))}` }),
  J(n, i, j) {
    const [p, q] = [at("P", n, i), at("P", n, j)];
    return { from: [["P", n, i], ["P", n, j]], text: `${long(p)} × (${i === j ? 1 : 0} − ${long(q)})` };
  },
  naive: vjp("dP"),
  inner: (n) => SUM(classes, (i) => ["dP", n, i], (i) => ["P", n, i]),
  fast: (n, j) => ({
    from: [["P", n, j], ["dP", n, j], ["inner", n]],
    text: `${long(at("P", n, j))} × (${long(at("dP", n, j))} − ${factor(at("inner", n))})`,
  }),
  dZ: (n, c) => ({ from: [["P", n, c], ["Y", n, c]], text: `(${long(at("P", n, c))} − ${at("Y", n, c)}) / ${N}` }),
  outer: (n, c, d) => SUM([0], () => ["dZ", n, c], () => ["X", n, d]),
  dW(c, d) {
    const { from, text } = SUM(samples, (n) => ["dZ", n, c], (n) => ["X", n, d]);
    return { from: [...from, ...samples.map((n) => ["outer", n, c, d])], text };
  },
  db: (c) => ({ from: samples.map((n) => ["dZ", n, c]), text: samples.map((n) => factor(at("dZ", n, c))).join(" + ") }),
  dX: (n, d) => SUM(classes, (c) => ["dZ", n, c], (c) => ["W", c, d]),
  dP2: (n, c) => ({
    from: [["P", n, c], ["Y", n, c]],
    text: `2/${N} × (${long(at("P", n, c))} − ${at("Y", n, c)})`,
  }),
  naive2: vjp("dP2"),
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const axis = (letter, text = letter) => element("span", { class: `axis ${letter}` }, String(text));

// (N, C) = (2, 3), each axis in its colour
function shape(axes) {
  const made = element("span", { class: "shape" });
  for (const part of [(a) => axis(a), (a) => axis(a, a === "1" ? 1 : sizes[a])]) {
    made.append(made.childNodes.length ? " = (" : "(");
    axes.forEach((a, i) => made.append(i ? ", " : "", part(a)));
    made.append(axes.length === 1 ? ",)" : ")");
  }
  return made;
}

// Everything that shows an entry, by its name
const shownAt = new Map();
function showsEntry(made, key, index) {
  const name = [key, ...index].join();
  made.dataset.entry = name;
  shownAt.set(name, [...(shownAt.get(name) ?? []), made]);
  const value = at(key, ...index);
  const largest = Math.max(...[steps[key].value].flat(3).map(Math.abs), 1e-300);
  made.style.setProperty("--share", `${Math.round((Math.abs(value) / largest) * 100)}%`);
  made.classList.add("entry", value < 0 ? "negative" : "positive");
  return made;
}

function indexed(key, index) {
  const letters = key === "J" ? ["n", "i", "j"] : steps[key].axes.map((a) => LETTERS[a]);
  const values = index.map((i, k) => `${letters[k]} = ${i}`).join(", ");
  return values ? `${NAMES[key][0]}[${values}]` : NAMES[key][0];
}

function explanation(name) {
  const [key, ...index] = name.split(",").map((part, i) => (i ? Number(part) : part));
  const how = HOW[key]?.(...index);
  return { title: `${indexed(key, index)} = ${long(at(key, ...index))}`, how: how?.text, from: how?.from ?? [] };
}

// A matrix as a table; options: sample (one of N alone), transposed
function matrix(key, symbol, { sample = null, transposed = false } = {}) {
  const fixed = sample === null ? [] : [sample];
  let axes = steps[key].axes.slice(fixed.length);
  if (axes.length === 1 && fixed.length) axes = ["1", ...axes];
  let count = [1, 1, ...axes.map((a) => sizes[a] ?? 1)].slice(-2);
  const entry = (r, c) => [...fixed, ...[r, c].slice(2 - (steps[key].axes.length - fixed.length))];
  if (transposed) [axes, count] = [axes.toReversed(), count.toReversed()];
  const ofSample = sample === null ? "" : ` of sample ${sample}`;
  const name = symbol + (transposed ? "ᵀ" : "");
  const plain = axes.length ? `, shape ${axes.map((a) => sizes[a] ?? 1).join(" by ")}` : "";
  const body = element("tbody", { role: "rowgroup" });
  for (const r of range(count[0])) {
    const row = element("tr", { role: "row" });
    if (axes[0] === "N") row.append(element("th", { scope: "row", class: "axis N" }, `n = ${r}`));
    for (const c of range(count[1])) {
      const index = transposed ? entry(c, r) : entry(r, c);
      const cell = element("td", { role: "gridcell", tabindex: r || c ? -1 : 0 }, shown(at(key, ...index), 2));
      const { title, how } = explanation([key, ...index].join());
      cell.setAttribute("aria-label", how ? `${title}: ${how}` : title);
      row.append(showsEntry(cell, key, index));
    }
    body.append(row);
  }
  const table = element("table", { role: "grid", "aria-label": `${name}${ofSample}, ${NAMES[key][1]}${plain}` }, body);
  table.addEventListener("keydown", (event) => moveInGrid(event, table));
  const caption = element("figcaption", {}, element("b", {}, name), " ", axes.length ? shape(axes) : "one number");
  return element("figure", { class: "matrix" }, table, caption);
}

const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
function moveInGrid(event, table) {
  const cell = event.target.closest("td");
  if (!cell || !(event.key in STEPS)) return;
  event.preventDefault();
  const [down, right] = STEPS[event.key];
  const rows = [...table.rows].map((row) => [...row.querySelectorAll("td")]);
  const r = rows.findIndex((row) => row.includes(cell));
  const next = rows[r + down]?.[rows[r].indexOf(cell) + right];
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// data-equation="X × W.T + b = Z": names of matrices, between them what is done (_ is a space).
// M[n] makes a line for each sample, M[+] adds those of all samples
function equation(place) {
  const text = place.dataset.equation;
  for (const n of text.includes("[n]") ? samples : [null]) {
    const line = element("div", { class: "equation" });
    const operator = (token) => element("span", { class: "operator" }, token.replaceAll("_", " "));
    if (n !== null) line.append(element("span", { class: "axis N" }, `n = ${n}`));
    for (const token of text.split(" ")) {
      const [, symbol, which, transposed] = token.match(/^(\w+)(\[.\])?(\.T)?$/) ?? [];
      const key = symbol === "G" ? "dZ" : symbol;
      if (!steps[key]) line.append(operator(token));
      else {
        for (const sample of which === "[+]" ? samples : [which ? n : null]) {
          if (which === "[+]" && sample) line.append(operator("+"));
          line.append(matrix(key, symbol === "G" ? "G" : NAMES[key][0], { sample, transposed: Boolean(transposed) }));
        }
      }
    }
    place.append(line);
  }
}

// data-numpy="Y L": the code of these steps; of those that need none only if there are no others
function code(place) {
  for (const [way, title] of [["numpy", "NumPy, as taught"], ["fast", "fastsoftmax"]]) {
    const codes = place.dataset[way].split(" ").map((key) => steps[key][way]);
    const needed = codes.filter((lines) => /^[^#]/m.test(lines));
    const block = element("pre", { role: "group", "aria-label": `${title}: code` });
    block.append(element("code", {}, (needed.length ? needed : codes).join("\n")));
    place.append(element("div", {}, element("h4", {}, title), block));
  }
}

const tip = document.getElementById("tip");
function clear() {
  tip.hidden = true;
  document.querySelectorAll("[aria-describedby]").forEach((made) => made.removeAttribute("aria-describedby"));
  document.querySelectorAll(".hot, .source").forEach((made) => made.classList.remove("hot", "source"));
}
function show(target) {
  clear();
  const lines = [];
  if (target.dataset.entry) {
    const { title, how, from } = explanation(target.dataset.entry);
    lines.push(element("b", {}, title), ...(how ? [element("span", {}, `= ${how}`)] : []));
    shownAt.get(target.dataset.entry).forEach((made) => made.classList.add("hot"));
    from.forEach((name) => shownAt.get(name.join())?.forEach((made) => made.classList.add("source")));
  } else {
    target.setAttribute("aria-describedby", "tip"); // an entry's own label says it all
    const [title, ...values] = target.dataset.tip.split("\n");
    lines.push(element("b", {}, title), ...values.map((line) => element("span", { class: "line" }, line)));
  }
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const box = target.getBoundingClientRect();
  const kept = target.closest(".equation, a").getBoundingClientRect(); // stays in sight
  const middle = (box.left + box.right - tip.offsetWidth) / 2;
  const x = Math.max(8, Math.min(middle, document.documentElement.clientWidth - tip.offsetWidth - 8));
  const above = kept.top - tip.offsetHeight - 4;
  tip.style.left = `${x + scrollX}px`;
  tip.style.top = `${(above > 0 ? above : kept.bottom + 4) + scrollY}px`;
}
const explained = (event) => event.target.closest?.("[data-entry], [data-tip]");
let pointed = null, position = "";
document.addEventListener("pointermove", (event) => {
  const target = explained(event);
  const before = position;
  position = `${event.clientX} ${event.clientY}`;
  if (position === before || target === pointed) return; // the page was scrolled under it, or it is where it was
  pointed = target;
  target ? show(target) : clear();
});
document.addEventListener("focusin", (event) => (explained(event) ? show(explained(event)) : clear()));
document.addEventListener("focusout", clear);
document.addEventListener("keydown", (event) => event.key === "Escape" && clear());

document.querySelectorAll("[data-equation]").forEach(equation);
document.querySelectorAll("[data-numpy]").forEach(code);
document.querySelectorAll("[data-size]").forEach((place) => place.append(sizes[place.dataset.size]));

// Only what belongs to the chosen sample stays bright; what has no axis N belongs to all
const follow = document.getElementById("follow");
for (const n of ["all", ...samples]) {
  const radio = element("input", { type: "radio", name: "sample", value: n, ...(n === "all" ? { checked: "" } : {}) });
  follow.append(element("label", {}, radio, n === "all" ? " the whole batch" : ` sample n = ${n}`));
}
follow.addEventListener("change", (event) => {
  for (const [name, all] of shownAt) {
    const [key, n] = name.split(",");
    const other = steps[key].axes[0] === "N" && event.target.value !== "all" && n !== event.target.value;
    all.forEach((made) => made.classList.toggle("dim", other));
  }
});
