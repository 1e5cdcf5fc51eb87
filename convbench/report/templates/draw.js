// What the plots share: when they are drawn, colours, shapes, scales, and words for who cannot see them.
const SERIES = d3.range(1, 9).map((i) => `var(--series-${i})`);
const SHAPES = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "times"];
const FONT = { background: "transparent", fontFamily: "inherit", fontSize: "12px", overflow: "visible" };

// What fits between the margins of A4 and of letter paper, in pixels.
const PAPER_WIDTH = 690;
// On paper nothing can be turned or scrolled: every configuration and row that passes the filter is there, up to these, with the first of its columns.
const paper = { printing: false, pages: 50, rows: 500, columns: 13 };
const plots = [];
const nothingShown = () => (COUNT ? "No row matches the filter." : "The table has no rows.");

// `draw(width)` returns {nodes, text, data} or {empty: why nothing is to be seen}; `data()` gives what is drawn, a record
// for each mark. Drawn when first in view and after a change.
function addPlot(id, draw) {
  // A section that would have nothing to show is not on the page.
  if (!document.getElementById(id)) return null;
  const plot = { box: document.getElementById(id), draw, stale: true, visible: false };
  plots.push(plot);
  new IntersectionObserver((entries) => {
    plot.visible = entries[entries.length - 1].isIntersecting;
    if (plot.visible && plot.stale) redraw(plot);
  }, { rootMargin: "400px" }).observe(plot.box);
  return plot;
}

function redraw(plot, width = plot.box.clientWidth) {
  if (!width) return;
  plot.stale = false;
  plot.width = width;
  const { nodes = [], text = "", empty, data } = plot.draw(width);
  if (empty) {
    plot.box.replaceChildren(element("p", { class: "empty" }, empty));
    return;
  }
  const alternative = element("p", { class: "alternative", id: `${plot.box.id}-text` }, text);
  plot.box.replaceChildren(...nodes, alternative);
  if (plot.box.querySelector("svg[data-name]")) plot.box.append(saveButtons(plot.box, data));
  for (const drawing of plot.box.querySelectorAll("svg[data-name]")) {
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", drawing.dataset.name);
    drawing.setAttribute("aria-describedby", alternative.id);
  }
}

function refreshPlots() {
  for (const plot of plots) {
    plot.stale = true;
    if (plot.visible) redraw(plot);
  }
}

// Before a jump: a plot that were drawn after it would push what was jumped to out of sight.
function drawAllPlots() {
  for (const plot of plots) if (plot.stale) redraw(plot);
}

function watchSize() {
  const main = document.querySelector("main");
  let last = main.clientWidth;
  new ResizeObserver(debounce(() => {
    if (main.clientWidth !== last) refreshPlots();
    last = main.clientWidth;
  }, 100)).observe(main);
  const onPaper = (wanted) => () => {
    paper.printing = wanted;
    if (COUNT) showTable();
    if (wanted) plots.forEach((plot) => redraw(plot, PAPER_WIDTH));
    else refreshPlots();
  };
  addEventListener("beforeprint", onPaper(true));
  addEventListener("afterprint", onPaper(false));
}

// Colour and shape of a method or dtype: by its place among all rows, so that filtering does not repaint it.
function styleOf(name, v) {
  const place = Math.max(0, distinct(name).indexOf(v));
  // The ninth has the first one's colour and another shape: 64 are told apart.
  return { colour: SERIES[place % SERIES.length], shape: SHAPES[(place + Math.floor(place / SERIES.length)) % SHAPES.length] };
}

// Names with their colour, shape or both.
function legend(title, entries) {
  const items = entries.map(({ name, colour = "currentColor", shape, line }) => {
    const mark = line
      ? Plot.plot({ width: 26, height: 14, margin: 0, axis: null, x: { domain: [0, 26], range: [0, 26] }, y: { domain: [0, 14], range: [0, 14] },
        marks: [Plot.ruleY([7], { x1: 0, x2: 26, stroke: colour, strokeWidth: 2, strokeDasharray: line })] })
      : Plot.plot({ width: 14, height: 14, margin: 0, axis: null, x: { domain: [0, 14], range: [0, 14] }, y: { domain: [0, 14], range: [0, 14] },
        marks: [dot([[7, 7]], { x: "0", y: "1", shape: shape || "circle", colour, r: 4 })] });
    mark.setAttribute("aria-hidden", "true");
    return element("span", { class: "key" }, mark, name);
  });
  return element("p", { class: "legend" }, element("span", { class: "key-title" }, title), ...items);
}

// Plot.dot with one shape and colour for all of `data`; shapes without an inside are stroked.
function dot(data, { shape, colour, r = 4, hollow = false, ...channels }) {
  const bare = shape === "times" || shape === "plus" || shape === "asterisk";
  return Plot.dot(data, {
    symbol: shape, r, stroke: colour, strokeWidth: bare ? 2 : 1.2,
    fill: bare ? "none" : hollow ? "var(--surface)" : colour, ...channels,
  });
}

const RATIO_TICKS = [1, 2, 0.5, 10, 0.1, 5, 0.2, 100, 0.01, 1.5, 0.7, 1.2, 0.8, 3, 0.3, 1000, 0.001, 1.1, 0.9, 20, 0.05, 50, 0.02, 1.3, 1.4, 1.7, 0.6, 4];

// Ticks of a logarithmic axis that is `pixels` long: of `candidates`, the first ones first, those that keep their distance.
function spacedTicks(candidates, [low, high], pixels, distance) {
  const place = (t) => (Math.log(t / low) / Math.log(high / low)) * pixels;
  const fits = (kept, t) => t >= low * 0.9999 && t <= high * 1.0001 && kept.every((other) => Math.abs(place(t) - place(other)) >= distance);
  return candidates.reduce((kept, t) => (fits(kept, t) ? [...kept, t] : kept), []);
}

const ratioTicks = (domain, pixels) => spacedTicks(RATIO_TICKS, domain, pixels, 46);

// Powers of ten, every second or third one where they are many, then round numbers between them where these are few.
function logTicks(domain, pixels, distance) {
  const exponents = d3.range(Math.floor(Math.log10(domain[0])), Math.ceil(Math.log10(domain[1])) + 1);
  const per = (Math.log(10) / Math.log(domain[1] / domain[0])) * pixels;
  const step = Math.max(1, Math.ceil(distance / per));
  const powers = exponents.filter((e) => e % step === 0).map((e) => 10 ** e);
  const between = per > 3 * distance || spacedTicks(powers, domain, pixels, distance).length < 3 ? [5, 2, 3, 1.5, 7] : [];
  return spacedTicks([...powers, ...between.flatMap((m) => exponents.map((e) => m * 10 ** e))], domain, pixels, distance);
}

// Grid and axis at `ticks` of a logarithmic scale. A scale's own tickFormat would leave some of the labels out.
function logAxisX(ticks, format, label) {
  return [Plot.gridX(ticks), Plot.axisX(ticks, { text: format, label, labelAnchor: "center", labelArrow: "none" })];
}

function logAxisY(ticks, format, label) {
  return [Plot.gridY(ticks), Plot.axisY(ticks, { text: format, label, labelAnchor: "top", labelArrow: "none" })];
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
// 0.2, 10, 500, 10⁻⁷, 5·10⁻⁷
function power(x) {
  const exponent = Math.floor(Math.log10(x) + 1e-9);
  if (exponent >= -1 && exponent <= 3) return significant(x, 2);
  const mantissa = Number((x / 10 ** exponent).toPrecision(2));
  return (mantissa === 1 ? "10" : `${mantissa}·10`) + [...String(exponent)].map((c) => SUPERSCRIPT[c]).join("");
}

// [low, high] around positive values with a little air on both sides of a logarithmic axis.
function around(values, air = 0.06) {
  const [low, high] = d3.extent(values);
  const span = Math.max(Math.log(high / low), 0.7);
  return [low * Math.exp(-air * span), high * Math.exp(air * span)];
}

// The same, wide enough for two of the numbers that logTicks puts on an axis, also where all values are one.
function aroundWithTicks(values, air) {
  const [low, high] = around(values, air);
  const widen = Math.sqrt(Math.max(1, 3 / (high / low)));
  return [low / widen, high * widen];
}

// Of the items that would be drawn on the same spot, one, with `n` saying how many there are.
function thinned(items, spotOf) {
  const spots = new Map();
  for (const item of items) {
    const spot = spotOf(item);
    const there = spots.get(spot);
    if (there) there.n += 1;
    else spots.set(spot, { ...item, n: 1 });
  }
  return [...spots.values()];
}

const same = (n) => (n > 1 ? `\n(and ${plural(n - 1, "row")} at the same spot)` : "");
