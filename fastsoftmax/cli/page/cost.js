// The slider: one Jacobian and one vector at C classes, drawn to scale, and what a batch of them costs.
"use strict";

const COUNTS = { classes: [2, 3, 5, 10, 20, 50, 100, 200, 500, 1000], batch: [1, 2, 8, 32, 128, 512] };
const SIDE = 240; // of the square, in pixels
const byId = (id) => document.getElementById(id);
const grouped = (number) => number.toLocaleString("en-US");
function bytes(number) {
  const unit = ["B", "kB", "MB", "GB"].findIndex((_, i) => number < 1000 ** (i + 1) || i === 3);
  return `${Number((number / 1000 ** unit).toPrecision(4))} ${["B", "kB", "MB", "GB"][unit]}`;
}

// Some logits, and softmax's derivative the two ways, as in the code above
function sample(nClasses) {
  const e = Float64Array.from({ length: nClasses }, (_, c) => Math.exp(2 * Math.sin(1.7 * c)));
  const total = e.reduce((a, b) => a + b);
  const p = e.map((x) => x / total);
  const u = p.map((x, c) => 2 * (x - (c === 0 ? 1 : 0))); // dL/dp of squared error, the label being 0
  const jacobian = new Float64Array(nClasses * nClasses);
  const naive = new Float64Array(nClasses);
  for (let i = 0; i < nClasses; i++) {
    for (let j = 0; j < nClasses; j++) {
      const entry = p[i] * ((i === j ? 1 : 0) - p[j]);
      jacobian[i * nClasses + j] = entry;
      naive[j] += u[i] * entry;
    }
  }
  const inner = p.reduce((sum, x, c) => sum + x * u[c], 0);
  const fast = p.map((x, c) => x * (u[c] - inner));
  return { jacobian, fast, difference: fast.reduce((most, x, c) => Math.max(most, Math.abs(x - naive[c])), 0) };
}

function paint(canvas, values, width) {
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim().match(/\w\w/g).map((part) => parseInt(part, 16));
  const [none, positive, negative] = ["--none", "--positive", "--negative"].map(colour);
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  canvas.width = width;
  canvas.height = values.length / width;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, canvas.height);
  values.forEach((value, k) => {
    const share = (Math.abs(value) / largest) ** 0.3; // so that small ones are visible
    const full = value < 0 ? negative : positive;
    none.forEach((from, i) => (image.data[4 * k + i] = from + share * (full[i] - from)));
    image.data[4 * k + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

function cost() {
  const [nClasses, nSamples] = ["classes", "batch"].map((id) => {
    const [count, slider] = [COUNTS[id][byId(id).value], byId(id)];
    slider.setAttribute("aria-valuetext", `${count} ${id === "classes" ? "classes" : "samples"}`);
    byId(`${id}-count`).textContent = grouped(count);
    return count;
  });
  const { jacobian, fast, difference } = sample(nClasses);
  paint(byId("square"), jacobian, nClasses);
  paint(byId("strip"), fast, nClasses);
  byId("strip").style.height = `${Math.max(1, SIDE / nClasses)}px`;
  byId("square").setAttribute("aria-label", `The Jacobian of one sample: ${nClasses} by ${nClasses} entries`);
  byId("strip").setAttribute("aria-label", `The vector of one sample: 1 by ${nClasses} entries`);
  for (const id of ["square", "strip"]) byId(id).parentElement.dataset.cards = Math.min(nSamples, 4);
  const rows = {
    numbers: [nSamples * nClasses ** 2, nSamples * nClasses, grouped],
    bytes: [8 * nSamples * nClasses ** 2, 8 * nSamples * nClasses, bytes],
    // entries p_i (delta_ij - p_j): 2 C^2; row times matrix: C^2 products, C (C - 1) additions
    operations: [nSamples * (4 * nClasses ** 2 - nClasses), nSamples * (4 * nClasses - 1), grouped],
  };
  for (const [row, [naive, own, format]] of Object.entries(rows)) {
    byId(`${row}-naive`).textContent = format(naive);
    byId(`${row}-fast`).textContent = format(own);
    byId(`${row}-times`).textContent = `${grouped(naive / own)} ×`;
  }
  byId("square-shape").textContent = `(${nSamples}, ${nClasses}, ${nClasses})`;
  byId("strip-shape").textContent = `(${nSamples}, ${nClasses})`;
  // Both curves up to this C: bytes as C x C, always the same parabola, and as C, ever lower beside it
  byId("curve-fast").setAttribute("d", `M0 200L260 ${200 - 200 / nClasses}`);
  byId("curve-at").textContent = `C = ${grouped(nClasses)}`;
  byId("curve-naive-bytes").textContent = `with J: ${bytes(rows.bytes[0])}`;
  byId("curve-fast-bytes").textContent = `without: ${bytes(rows.bytes[1])}`;
  byId("curve-fast-bytes").setAttribute("y", Math.min(190, 212 - 200 / nClasses - 22));
  byId("curves").setAttribute("aria-label", `Bytes for the batch up to ${nClasses} classes: with J they grow as the ` +
    `square of C to ${bytes(rows.bytes[0])}, without it as C to ${bytes(rows.bytes[1])}`);
  byId("said").textContent =
    `With ${grouped(nClasses)} classes and ${grouped(nSamples)} samples in the batch the Jacobians take ` +
    `${bytes(rows.bytes[0])}, the vectors ${bytes(rows.bytes[1])}. ` +
    `The two ways differ by ${difference.toExponential(1)} at most, computed just now in this page.`;
}

for (const [id, counts] of Object.entries(COUNTS)) {
  byId(id).max = counts.length - 1;
  byId(id).addEventListener("input", cost);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", cost);
byId("classes").value = 3;
byId("batch").value = 4;
cost();
