// Speedups along a numeric axis: a line for each method, a small multiple for each value of another axis.
const MOST_PANELS = 12;
const lines = { x: "", panels: "" };

const numericAxes = () => payload.axes.filter((axis) => distinct(axis).length > 1 && distinct(axis).every((v) => typeof v === "number"));
const panelAxes = () => payload.axes.filter((axis) => axis !== lines.x && axis !== "method" && distinct(axis).length <= MOST_PANELS);

// What explains most of the spread goes across if it is numeric, and the next makes the panels.
function chooseLines() {
  const ranked = [...payload.explains, ...payload.axes.filter((axis) => !payload.explains.includes(axis))];
  lines.x = ranked.find((axis) => numericAxes().includes(axis)) ?? "";
  lines.panels = payload.explains.find((axis) => panelAxes().includes(axis)) ?? "";
}

function linesControls() {
  const change = (key) => (v) => {
    lines[key] = v;
    if (lines.panels === lines.x) lines.panels = "";
    redraw(linesPlot);
    document.querySelector(`#lines [data-key="${key}"] select`)?.focus();
  };
  const make = (key, label, options) => { const made = select(label, options, lines[key], change(key)); made.dataset.key = key; return made; };
  return element("div", { class: "controls" }, make("x", "across", numericAxes()), make("panels", "panels", [["", "one"], ...panelAxes()]));
}

// One point for each method, panel and place across: of several configurations their median, and from the lowest end
// of their intervals to the highest.
function linePoints() {
  const all = comparisons().filter((one) => value(lines.x, one.row) !== null);
  const panel = (one) => (lines.panels ? String(formatted(lines.panels, value(lines.panels, one.row))) : "");
  return d3.groups(all, panel, (one) => one.method, (one) => value(lines.x, one.row)).flatMap(([name, methods]) =>
    methods.flatMap(([method, places]) => places.map(([x, members]) => ({
      panel: name, method, x, n: members.length, y: median(members.map((one) => one.speedup)),
      low: d3.min(members, (one) => one.low), high: d3.max(members, (one) => one.high),
    }))));
}

function drawLines(width) {
  const points = linePoints();
  const controls = linesControls();
  if (!points.length) return { nodes: [controls, element("p", { class: "empty" }, nothingTimed())] };
  const names = lines.panels ? distinct(lines.panels).map((v) => String(formatted(lines.panels, v))).filter((name) => points.some((p) => p.panel === name)) : [""];
  const across = Math.max(1, Math.min(names.length, 3, Math.floor(width / 300)));
  const x = { domain: d3.extent(points, (p) => p.x), type: d3.min(points, (p) => p.x) > 0 && d3.max(points, (p) => p.x) / d3.min(points, (p) => p.x) > 8 ? "log" : "linear" };
  const y = around([...points.flatMap((p) => [p.low, p.high]), 0.95, 1.05]);
  const methods = distinct("method").filter((m) => points.some((p) => p.method === m));
  const drawings = names.map((name) => element("figure", { class: "panel" },
    ...(name ? [element("figcaption", {}, `${lines.panels} ${name}`)] : []),
    linesDrawing(points.filter((p) => p.panel === name), methods, { x, y, width: width / across - 12, name })));
  const most = d3.max(points, (p) => p.n);
  const merged = most > 1 ? ` A point is the median of up to ${plural(most, "configuration")} that differ along the other axes, its bar from the lowest to the highest end of their intervals.` : " Bars are 95% intervals.";
  const box = element("div", { class: "panels", style: `grid-template-columns: repeat(${across}, minmax(0, 1fr))` }, ...drawings);
  return { nodes: [controls, legend("method", methods.map((name) => ({ name, ...styleOf("method", name) }))), box], text: `${wayShown()}Speedup over ${lines.x}${lines.panels ? `, a panel for each ${lines.panels}` : ""}.${merged}`, data: () => d3.sort(points, (p) => names.indexOf(p.panel), (p) => methods.indexOf(p.method), (p) => p.x).map(lineRecord) };
}

const lineRecord = (p) => ({
  ...(lines.panels ? { [lines.panels]: p.panel } : {}), method: p.method, [lines.x]: p.x, speedup: times(p.y), low: times(p.low), high: times(p.high), configurations: p.n,
});

function linesDrawing(points, methods, { x, y, width, name }) {
  const places = [...new Set(points.map((p) => p.x))].sort(d3.ascending);
  const ticks = places.length <= 8 ? places : d3.ticks(...d3.extent(places), 6);
  const marks = [
    Plot.rectY([0], { y1: Math.max(y[0], 1 / (1 + payload.margin)), y2: Math.min(y[1], 1 + payload.margin), fill: "var(--band)" }),
    Plot.ruleY([1], { stroke: "var(--ink-soft)", strokeDasharray: "3 3" }),
    ...logAxisY(ratioTicks(y, 240), (t) => `${significant(t)}×`, "speedup (log scale)"),
    Plot.axisX(ticks, { label: lines.x, labelAnchor: "center", labelArrow: "none", text: (x) => String(x) }),
    ...methods.flatMap((method) => {
      const own = d3.sort(points.filter((p) => p.method === method), (p) => p.x);
      const { colour, shape } = styleOf("method", method);
      return [
        Plot.line(own, { x: "x", y: "y", stroke: colour, strokeWidth: 1.8 }),
        Plot.ruleX(own, { x: "x", y1: "low", y2: "high", stroke: colour, strokeWidth: 1.4 }),
        dot(own, { x: "x", y: "y", colour, shape, r: 4 }),
      ];
    }),
    Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: lineTip, fill: "var(--surface)", stroke: "var(--line)" })),
  ];
  const drawing = Plot.plot({
    style: FONT, width, height: 300, marginLeft: 46, marginRight: 14, marginTop: 24, marginBottom: 42,
    x: { ...x, insetLeft: 8, insetRight: 8 }, y: { type: "log", domain: y }, marks,
  });
  drawing.dataset.name = `Speedup over ${lines.x}${name ? `, ${lines.panels} ${name}` : ""}`;
  return drawing;
}

const lineTip = (p) => `${p.method}, ${lines.x} ${p.x}\n${times(p.y)} [${times(p.low)} to ${times(p.high)}]${p.n > 1 ? `\nmedian of ${plural(p.n, "configuration")}` : ""}`;

chooseLines();
const linesPlot = addPlot("lines", drawLines);
