// Speedups: where all of them lie, and one line with its interval for each configuration and method.
const LINES_PER_PAGE = 40;
const ORDERS = [
  ["slow", "slowest first"],
  ["fast", "fastest first"],
  ["wide", "most uncertain first"],
  ["axes", "by configuration"],
];
// What the first configuration has least of, by order.
const EXTREMES = { slow: (one) => one.speedup, fast: (one) => -one.speedup, wide: (one) => one.low / one.high };
// How the compared times were taken; the first that the table has answers the first question. Prefixes of columns.
const WAYS = [["backward_", "in a training step"], ["", "of the calls"], ["wall_", "of the calls, by wall time"]].filter(([prefix]) => has(`${prefix}speedup`));
const forest = { order: "slow", page: 0, way: WAYS[0]?.[0] ?? "" };
const wayShown = () => (WAYS.length > 1 ? `Speedups ${WAYS.find(([prefix]) => prefix === forest.way)[1]}. ` : "");
const compared = (name, row) => value(forest.way + name, row);
const VERDICT_MARK = { faster: "faster", slower: "slower", equivalent: "equivalent", inconclusive: "inconclusive", impossible: "impossible" };

function comparisons() {
  return filter.rows
    .filter((row) => !isBaseline(row) && finite(compared("speedup", row)) && compared("speedup", row) > 0)
    .map((row) => ({
      row, method: value("method", row), verdict: compared("speed", row), label: value("label", row), run: value("run", row),
      speedup: compared("speedup", row), low: compared("speedup_low", row) ?? compared("speedup", row), high: compared("speedup_high", row) ?? compared("speedup", row),
    }));
}

function nothingTimed() {
  if (!filter.rows.length) return nothingShown();
  if (!WAYS.length) return "No speedup was measured: accuracy only (measure=none), or nothing could be timed.";
  return "None of the rows shown has a speedup: they are baselines, were not timed, or could not be run.";
}

function drawSpread(width) {
  const all = comparisons();
  if (!all.length) return { empty: nothingTimed() };
  const methods = distinct("method").filter((m) => all.some((one) => one.method === m));
  const domain = around([...all.map((one) => one.speedup), 0.9, 1.1]);
  const spread = methods.map((method) => spreadOf(method, all.filter((one) => one.method === method)));
  const narrow = width < 560;
  const rowHeight = narrow ? 46 : 34;
  const marks = [
    ...band(domain),
    ...ratioAxis(domain, width - (narrow ? 24 : 186), "speedup over the baseline (log scale)"),
    Plot.tickX(thinned(all, (one) => `${one.method} ${Math.round((Math.log(one.speedup / domain[0]) / Math.log(domain[1] / domain[0])) * width)}`), {
      x: "speedup", y: "method", stroke: (one) => styleOf("method", one.method).colour, strokeOpacity: 0.55, insetTop: narrow ? 18 : 7, insetBottom: 7,
    }),
    ...spread.map((one) => dot([one], { x: "median", y: "method", ...styleOf("method", one.method), r: 6, dy: narrow ? 6 : 0 })),
    Plot.text(spread, { x: domain[0], y: "method", text: (one) => (narrow ? one.method : ""), textAnchor: "start", dx: 4, dy: -14, fill: "currentColor" }),
  ];
  const drawing = Plot.plot({
    style: FONT, width, height: methods.length * rowHeight + 52, marginLeft: narrow ? 8 : 170, marginRight: 16, marginTop: 4, marginBottom: 44,
    x: { type: "log", domain },
    y: { domain: methods, label: null, axis: narrow ? null : "left", tickSize: 0, padding: 0 }, marks,
  });
  drawing.dataset.name = "Speedups of all configurations shown, by method";
  const text = spread.map((one) => `${one.method}: median ${times(one.median)}, from ${times(one.low)} to ${times(one.high)}, ${plural(one.n, "comparison")}`).join("; ");
  const data = () => spread.map(({ method, median, low, high, n }) => ({ method, "median speedup": times(median), smallest: times(low), largest: times(high), comparisons: n }));
  return { nodes: [drawing], text: `${wayShown()}One stroke for each configuration; the symbol is the median. ${text}.`, data };
}

function spreadOf(method, members) {
  const speedups = members.map((one) => one.speedup);
  return { method, median: median(speedups), low: d3.min(speedups), high: d3.max(speedups), n: members.length };
}

function ratioAxis(domain, pixels, label) {
  return logAxisX(ratioTicks(domain, pixels), (t) => `${significant(t)}×`, label);
}

// The band in which a difference counts as none, and the line of no difference.
function band(domain) {
  const [low, high] = [Math.max(domain[0], 1 / (1 + payload.margin)), Math.min(domain[1], 1 + payload.margin)];
  return [
    Plot.rect([0], { x1: low, x2: high, fill: "var(--band)" }),
    Plot.ruleX([1], { stroke: "var(--ink-soft)", strokeDasharray: "3 3" }),
  ];
}

// Configurations with their lines, in the chosen order.
function groupsInOrder(all) {
  const groups = [...d3.group(all, (one) => configuration(one.row)).values()];
  const extreme = EXTREMES[forest.order];
  if (extreme) return d3.sort(groups, (group) => d3.min(group, extreme));
  const axes = payload.axes.filter((axis) => axis !== "method");
  return groups.sort((a, b) => axes.reduce((sign, axis) => sign || compareNatural(value(axis, a[0].row), value(axis, b[0].row)), 0));
}

// Groups cut into pages of about LINES_PER_PAGE lines.
function pagesOf(groups) {
  const pages = [[]];
  let lines = 0;
  for (const group of groups) {
    if (lines && lines + group.length > LINES_PER_PAGE) {
      pages.push([]);
      lines = 0;
    }
    pages[pages.length - 1].push(group);
    lines += group.length;
  }
  return pages;
}

function drawForest(width) {
  const all = comparisons();
  // With the controls, where another way of timing may have something to show.
  if (!all.length) return WAYS.length > 1 ? { nodes: [forestControls(1), element("p", { class: "empty" }, nothingTimed())] } : { empty: nothingTimed() };
  const pages = pagesOf(groupsInOrder(all));
  forest.page = Math.min(forest.page, pages.length - 1);
  const groups = pages[forest.page];
  const drawings = paper.printing ? pages.slice(0, paper.pages).map((page) => forestDrawing(page, all, width)) : [forestDrawing(groups, all, width)];
  const first = d3.least(groups[0], EXTREMES[forest.order] ?? (() => 0));
  const text = `${wayShown()}${plural(all.length, "comparison")} in ${plural(d3.sum(pages, (page) => page.length), "configuration")}: ${verdictCounts(all)}. ` +
    `Page ${forest.page + 1} of ${pages.length}, ${ORDERS.find(([key]) => key === forest.order)[1]}; first: ${first.label}, ${first.method} ${times(first.speedup)} (${times(first.low)} to ${times(first.high)}).`;
  const data = () => pages.flat(2).map((one) => ({ configuration: one.label, method: one.method, speedup: times(one.speedup), low: times(one.low), high: times(one.high), verdict: one.verdict }));
  if (paper.printing) return { nodes: [forestLegend(pages.flat()), ...drawings], text: text.replace(/Page \d+ of \d+, /, ""), data };
  return { nodes: [forestControls(pages.length), forestLegend(groups), ...drawings], text, data };
}

function verdictCounts(all) {
  const found = d3.rollup(all, (members) => members.length, (one) => one.verdict);
  return [...found].map(([verdict, n]) => `${n.toLocaleString("en")} ${verdict ?? "without a verdict"}`).join(", ");
}

function forestControls(pages) {
  const turn = (by) => () => { forest.page += by; redraw(forestPlot); document.querySelector(`#forest button[data-turn="${by}"]:not([disabled])`)?.focus(); };
  const way = WAYS.length > 1 ? [select("speedups", WAYS, forest.way, (v) => { Object.assign(forest, { way: v, page: 0 }); refreshPlots(); document.querySelector("#forest select").focus(); })] : [];
  const order = select("order", ORDERS, forest.order, (v) => { Object.assign(forest, { order: v, page: 0 }); redraw(forestPlot); document.querySelectorAll("#forest select")[way.length].focus(); });
  const buttons = pages > 1 ? [
    element("button", { type: "button", "data-turn": -1, disabled: forest.page === 0, onclick: turn(-1) }, "Previous"),
    element("span", {}, `page ${forest.page + 1} of ${pages}`),
    element("button", { type: "button", "data-turn": 1, disabled: forest.page === pages - 1, onclick: turn(1) }, "Next"),
  ] : [];
  return element("div", { class: "controls" }, ...way, order, element("span", { class: "pager" }, ...buttons));
}

function forestLegend(groups) {
  const methods = distinct("method").filter((m) => groups.some((group) => group.some((one) => one.method === m)));
  return element("div", {}, legend("method", methods.map((name) => ({ name, ...styleOf("method", name) }))),
    element("p", { class: "legend" }, "Filled: faster or slower. Hollow: equivalent or inconclusive. Shaded: ±3%. *: the interval did not reach the requested precision. !: other work slowed the two by different factors. ^: the mean says otherwise.".replace("3%", `${significant(payload.margin * 100)}%`)));
}

function forestDrawing(groups, all, width) {
  const narrow = width < 640;
  const layout = forestLayout(groups, narrow);
  const domain = around([...all.map((one) => one.speedup), 0.95, 1.05]);
  const [left, right] = narrow ? [8, 12] : [Math.min(560, width * (paper.printing ? 0.5 : 0.45), Math.max(120, 24 + 7 * d3.max(layout.groups, (group) => group.label.length))), 222];
  // In ems of an average font; the widest usual one, DejaVu Sans, takes an eighth more.
  const room = Math.floor((narrow ? width - 16 : left - 16) / 13.5);
  const marks = [
    ...band(domain),
    ...ratioAxis(domain, width - left - right, narrow ? "speedup with its 95% interval (log scale)" : "speedup over the baseline, with its 95% interval (log scale)"),
    Plot.ruleY(layout.groups.slice(1), { y: "top", stroke: "var(--line)", insetLeft: narrow ? 0 : 8 - left, insetRight: narrow ? 0 : -right }),
    Plot.ruleY(layout.lines, { y: "y", x1: (one) => clamp(one.low, domain), x2: (one) => clamp(one.high, domain), stroke: (one) => styleOf("method", one.method).colour, strokeWidth: 2 }),
    ...d3.groups(layout.lines, (one) => one.method, (one) => one.verdict === "faster" || one.verdict === "slower").flatMap(([method, kinds]) =>
      kinds.map(([decided, lines]) => dot(lines, { x: "speedup", y: "y", ...styleOf("method", method), r: 4.5, hollow: !decided }))),
    Plot.text(layout.groups, { x: domain[0], y: "labelY", text: "label", dx: narrow ? 2 : -12, textAnchor: narrow ? "start" : "end", lineWidth: room, textOverflow: "ellipsis-middle", fill: "currentColor", fontWeight: narrow ? 600 : 400 }),
    ...(narrow ? [] : [Plot.text(layout.lines, { x: domain[1], y: "y", dx: 12, textAnchor: "start", fontVariant: "tabular-nums", text: forestNote, fill: "currentColor" })]),
    Plot.tip(layout.lines, Plot.pointerY({ x: "speedup", y: "y", title: forestTip, fill: "var(--surface)", stroke: "var(--line)", maxRadius: 20 })),
  ];
  const drawing = Plot.plot({
    style: FONT, width, height: layout.height + 56, marginLeft: left, marginRight: right, marginTop: 8, marginBottom: 46,
    x: { type: "log", domain },
    y: { axis: null, domain: [0, layout.height], range: [8, layout.height + 8] }, marks,
  });
  drawing.dataset.name = "Forest plot of speedups with intervals";
  return drawing;
}

const clamp = (x, [low, high]) => Math.min(high, Math.max(low, x));
// What is said of the calls alone is no caveat of another way of timing.
const flagged = (name, row) => (has(forest.way + name) ? compared(name, row) : forest.way === "" ? value(name, row) : null);
const caveats = (row) => (flagged("converged", row) === false ? "*" : "") + (flagged("disturbed", row) === true ? "!" : "") + (flagged("mean_differs", row) === true ? "^" : "");
const forestNote = (one) => `${times(one.speedup)}  [${ratio(one.low)}, ${ratio(one.high)}]${caveats(one.row)} ${VERDICT_MARK[one.verdict] ?? ""}`;

const timeOf = (row) => value({ backward_: "backward_time_s", wall_: "wall_s" }[forest.way] ?? "time_s", row);

function forestTip(one) {
  return [one.label, `${one.method}: ${times(one.speedup)} [${times(one.low)} to ${times(one.high)}]`, `verdict: ${one.verdict ?? "none"}`,
    ...WAYS.filter(([prefix]) => prefix !== forest.way && finite(value(`${prefix}speedup`, one.row))).map(([prefix, text]) => `${text}: ${times(value(`${prefix}speedup`, one.row))}`),
    `time: ${formatted("time_s", timeOf(one.row))} · pairs: ${value("samples", one.row) ?? "?"}`,
    ...(flagged("converged", one.row) === false ? ["interval wider than requested (not converged)"] : []),
    ...(flagged("disturbed", one.row) === true ? ["other work slowed the method and the baseline by different factors"] : []),
    ...(flagged("mean_differs", one.row) === true ? [`by the mean: ${times(value("mean_speedup", one.row))}`] : [])].join("\n");
}

// Pixel positions from the top: a configuration's lines below one another, its label beside or (narrow) above them.
function forestLayout(groups, narrow) {
  const layout = { groups: [], lines: [], height: 0 };
  for (const group of groups) {
    const top = layout.height;
    const first = top + (narrow ? 32 : 13);
    layout.groups.push({ top, label: (has("run") && distinct("run").length > 1 ? `${group[0].run} · ` : "") + group[0].label, labelY: narrow ? top + 13 : first + (group.length - 1) * 9 });
    const methods = distinct("method");
    d3.sort(group, (one) => methods.indexOf(one.method)).forEach((one, i) => layout.lines.push({ ...one, y: first + i * 18 }));
    layout.height = first + (group.length - 1) * 18 + 13;
  }
  return layout;
}

addPlot("spread", drawSpread);
const forestPlot = addPlot("forest", drawForest);
