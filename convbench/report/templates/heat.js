// One quantity over any two swept axes. Colours come in steps, so that paper and both themes can show them.
const RATIO_STEPS = [0.5, 0.8, 1 / (1 + payload.margin), 1 + payload.margin, 1.25, 2];
const QUANTITIES = [
  { name: "backward_speedup", text: "speedup in a training step (median)", reduce: median, steps: RATIO_STEPS, kind: "diverging", show: times },
  { name: "speedup", text: has("backward_speedup") ? "speedup of the calls (median)" : "speedup (median)", reduce: median, steps: RATIO_STEPS, kind: "diverging", show: times },
  { name: "wall_speedup", text: "speedup of the calls by wall time (median)", reduce: median, steps: RATIO_STEPS, kind: "diverging", show: times },
  { name: "bound_ratio", text: "error over its bound (largest)", reduce: d3.max, steps: [0.03, 0.1, 0.3, 1], kind: "bound", show: (v) => significant(v, 2) },
  { name: "rel_l2_err", text: "relative L2 error (largest)", reduce: d3.max, kind: "sequential", show: (v) => significant(v, 2) },
  { name: "time_s", text: "time (median)", reduce: median, kind: "sequential", show: (v) => scaled(v, "s") },
  { name: "tflops", text: "rate (median)", reduce: median, kind: "sequential", show: (v) => scaled(v * 1e12, "FLOP/s") },
  { name: "ceiling_share", text: "share of the ceiling (median)", reduce: median, kind: "sequential", show: (v) => `${significant(v * 100, 2)}%` },
  { name: "saved_bytes", text: "bytes kept for backward (median)", reduce: median, kind: "sequential", show: (v) => scaled(v, "B") },
  { name: "peak_bytes", text: "peak bytes (median)", reduce: median, kind: "sequential", show: (v) => scaled(v, "B") },
  { name: "status", text: "rows without a right result (share)", reduce: (v) => d3.mean(v), steps: [0.001, 0.25, 0.5, 0.75], kind: "bound", show: (v) => `${Math.round(v * 100)}%`, of: (row) => (value("status", row) === "ok" && !isWrong(row) ? 0 : 1) },
].filter(({ name }) => has(name));
const heat = { x: "", y: "", quantity: "", method: "" };

function heatAxes() {
  return payload.axes.filter((axis) => distinct(axis).length > 1 && distinct(axis).length <= 400);
}

function chooseHeat() {
  const axes = heatAxes();
  // What explains most of the speedups' spread comes first, then what has most values.
  const rank = (axis) => { const place = payload.explains.indexOf(axis); return place < 0 ? payload.explains.length : place; };
  const inner = d3.sort(axes.filter((axis) => axis !== "method" && axis !== "run"), (a, b) => rank(a) - rank(b) || distinct(b).length - distinct(a).length);
  const longer = (a, b) => (distinct(b).length > distinct(a).length ? [b, a] : [a, b]);
  [heat.x, heat.y] = inner.length > 1 ? longer(inner[0], inner[1]) : [inner[0] ?? axes[0], axes.find((axis) => axis !== (inner[0] ?? axes[0]))];
  heat.quantity = QUANTITIES[0]?.name ?? "";
  heat.method = distinct("method").find((m) => !isAnyBaseline(m)) ?? "";
}

function heatControls() {
  const axes = heatAxes();
  const change = (key) => (v) => { heat[key] = v; redraw(heatPlot); document.querySelector(`#heat [data-key="${key}"] select`)?.focus(); };
  const make = (key, label, options) => { const made = select(label, options, heat[key], change(key)); made.dataset.key = key; return made; };
  const methods = heat.x === "method" || heat.y === "method" ? [] : [make("method", "method", [["", "all"], ...distinct("method")])];
  return element("div", { class: "controls" }, make("x", "across", axes), make("y", "down", axes), make("quantity", "shown", QUANTITIES.map(({ name, text }) => [name, text])), ...methods);
}

function cellsOf(quantity) {
  const oneMethod = heat.method && heat.x !== "method" && heat.y !== "method";
  const of = quantity.of ?? ((row) => value(quantity.name, row));
  const kept = filter.rows.filter((row) => (!oneMethod || value("method", row) === heat.method) && (!quantity.name.endsWith("speedup") || !isBaseline(row)));
  const groups = d3.groups(kept.filter((row) => value(heat.x, row) !== null && value(heat.y, row) !== null), (row) => value(heat.x, row), (row) => value(heat.y, row));
  return groups.flatMap(([x, inner]) => inner.map(([y, rows]) => {
    const values = rows.map(of).filter(finite);
    return { x, y, v: values.length ? quantity.reduce(values) : null, n: values.length, rows: rows.length, low: d3.min(values), high: d3.max(values) };
  }));
}

function drawHeat(width) {
  if (heatAxes().length < 2) return { empty: "A heat map needs two swept axes; this table has " + (heatAxes().length ? `one (${heatAxes()[0]}).` : "none.") };
  if (!filter.rows.length) return { empty: nothingShown() };
  const quantity = QUANTITIES.find(({ name }) => name === heat.quantity);
  const controls = heatControls();
  if (heat.x === heat.y) return { nodes: [controls, element("p", { class: "empty" }, "Choose two different axes.")] };
  const cells = cellsOf(quantity);
  const filled = cells.filter((cell) => cell.v !== null);
  if (!filled.length) return { nodes: [controls, element("p", { class: "empty" }, "None of the rows shown has this value.")] };
  const steps = quantity.steps ?? equalSteps(filled.map((cell) => cell.v));
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Heat map, scrolls sideways" }, heatDrawing(cells, quantity, steps, width));
  const most = d3.max(filled, (cell) => cell.n);
  const extreme = d3.extent(filled, (cell) => cell.v).map((v) => quantity.show(v));
  const merged = most > 1 ? `A cell sums up to ${plural(most, "row")} that differ along the other axes.` : "Every cell is one row.";
  return { nodes: [controls, stepLegend(steps, quantity), scroll], text: `${quantity.text} over ${heat.x} and ${heat.y}: ${plural(filled.length, "cell")}, from ${extreme[0]} to ${extreme[1]}. ${merged}`, data: () => heatRecords(cells, quantity) };
}

// The map as a table: a record for each place down, with the places across.
function heatRecords(cells, quantity) {
  const at = d3.index(cells, (cell) => cell.y, (cell) => cell.x);
  const across = distinct(heat.x).filter((x) => cells.some((cell) => cell.x === x));
  const shown = (cell) => (cell === undefined || cell.v === null ? "" : quantity.show(cell.v));
  return distinct(heat.y).filter((y) => at.has(y)).map((y) => ({
    [`${heat.y} \\ ${heat.x}`]: formatted(heat.y, y), ...Object.fromEntries(across.map((x) => [`${heat.x} ${formatted(heat.x, x)}`, shown(at.get(y).get(x))])),
  }));
}

// Four steps at equal distances on a logarithmic scale where all values are positive, else on a linear one.
function equalSteps(values) {
  const [low, high] = d3.extent(values);
  if (low === high) return [];
  return d3.range(1, 5).map((i) => (low > 0 ? low * (high / low) ** (i / 5) : low + ((high - low) * i) / 5));
}

function stepOf(v, steps) {
  return d3.bisectRight(steps, v);
}

function stepColour(kind, step, steps) {
  if (kind === "diverging") return `--diverging-${step + 1}`;
  if (kind === "bound") return step === steps ? "--bad" : `--sequential-${step + 1}`;
  return `--sequential-${steps ? step + 1 : 3}`;
}

function stepLegend(steps, quantity) {
  const keys = d3.range(steps.length + 1).map((i) => {
    const text = i === 0 ? `below ${quantity.show(steps[0])}` : i === steps.length ? `${quantity.show(steps[i - 1])} and above` : `to ${quantity.show(steps[i])}`;
    const name = stepColour(quantity.kind, i, steps.length);
    return element("span", { class: "key" }, element("span", { class: "swatch", style: `background: var(${name})` }), text);
  });
  return element("p", { class: "legend" }, element("span", { class: "key-title" }, quantity.text), ...(steps.length ? keys : []));
}

function heatDrawing(cells, quantity, steps, width) {
  const shown = (axis, key) => distinct(axis).filter((v) => cells.some((cell) => cell[key] === v));
  const [xs, ys] = [shown(heat.x, "x"), shown(heat.y, "y")];
  const left = Math.min(220, 24 + 7 * d3.max(ys, (v) => formatted(heat.y, v).length));
  const cellWidth = Math.max(xs.length > 60 ? 14 : 44, Math.min(120, (width - left - 8) / xs.length));
  const tallest = d3.max(xs, (v) => formatted(heat.x, v).length);
  const tilted = tallest * 7 > cellWidth;
  const bottom = tilted ? 34 + Math.min(160, tallest * 6.5) : 44;
  const colour = (cell) => `var(${stepColour(quantity.kind, stepOf(cell.v, steps), steps.length)})`;
  const ink = (cell) => `var(${stepColour(quantity.kind, stepOf(cell.v, steps), steps.length)}-ink)`;
  const filled = cells.filter((cell) => cell.v !== null);
  const marks = [
    Plot.cell(cells.filter((cell) => cell.v === null), { x: "x", y: "y", fill: "none", stroke: "var(--line)", inset: 1 }),
    Plot.cell(filled, { x: "x", y: "y", fill: colour, inset: 0.5, rx: 2 }),
    ...(cellWidth >= 40 ? [Plot.text(cells, { x: "x", y: "y", fontSize: 11, text: (cell) => (cell.v === null ? "–" : quantity.show(cell.v)), fill: (cell) => (cell.v === null ? "currentColor" : ink(cell)) })] : []),
    Plot.tip(cells, Plot.pointer({ x: "x", y: "y", title: (cell) => heatTip(cell, quantity), fill: "var(--surface)", stroke: "var(--line)" })),
  ];
  const drawing = Plot.plot({
    style: { ...FONT, maxWidth: "none" }, width: left + cellWidth * xs.length + 8, height: ys.length * 30 + bottom + 24, marginLeft: left, marginRight: 8, marginTop: 24, marginBottom: bottom, padding: 0,
    x: { type: "band", domain: xs, label: heat.x, labelAnchor: "center", labelArrow: "none", tickSize: 0, tickRotate: tilted ? -60 : 0, tickFormat: (v) => formatted(heat.x, v) },
    y: { type: "band", domain: ys, label: heat.y, labelAnchor: "top", labelArrow: "none", tickSize: 0, tickFormat: (v) => formatted(heat.y, v) }, marks,
  });
  drawing.dataset.name = `Heat map: ${quantity.text} over ${heat.x} and ${heat.y}`;
  return drawing;
}

function heatTip(cell, quantity) {
  const where = `${heat.x}=${formatted(heat.x, cell.x)} ${heat.y}=${formatted(heat.y, cell.y)}`;
  if (cell.v === null) return `${where}\nno value in ${plural(cell.rows, "row")}`;
  const range = cell.n > 1 ? `\n${plural(cell.n, "row")}, from ${quantity.show(cell.low)} to ${quantity.show(cell.high)}` : "";
  return `${where}\n${quantity.text}: ${quantity.show(cell.v)}${range}`;
}

chooseHeat();
const heatPlot = addPlot("heat", drawHeat);
