// A row looked at closely: the times of its configuration's methods in the order of measuring, and how they are spread.
const closer = { row: null };

// The methods of the row's configuration that have samples, the row's own first.
function sampledAlike(row) {
  const number = configuration(row);
  const methods = [value("method", row), ...distinct("method").filter((m) => m !== value("method", row))];
  return methods.map((method) => ({ method, times: payload.samples[placeKey(number, method)] })).filter(({ times }) => times);
}

function detailOf(row) {
  const series = sampledAlike(row);
  if (!series.length) return element("p", { class: "empty" }, "The samples of this row are not in the page: the run kept none (measure.samples=false), was not timed, or has more than a page holds.");
  const width = Math.min(560, Math.max(280, (document.getElementById("rows").clientWidth - 60) / 2));
  const domain = around(series.flatMap(({ times }) => times), 0.05);
  const ticks = logTicks(domain, 190, 40);
  const axis = logAxisY(ticks, (t) => scaled(t, "s"), "time of one call");
  const points = series.flatMap(({ method, times }) => times.map((time, i) => ({ method, time, i: i + 1 })));
  const overTime = Plot.plot({
    style: FONT, width, height: 250, marginLeft: 64, marginTop: 24, marginBottom: 40,
    x: { label: "sample, in the order of measuring", labelAnchor: "center", labelArrow: "none" }, y: { type: "log", domain },
    marks: [...axis, ...series.map(({ method }) => dot(points.filter((p) => p.method === method), { x: "i", y: "time", ...styleOf("method", method), r: 2.5 }))],
  });
  const spread = Plot.plot({
    style: FONT, width, height: 250, marginLeft: 64, marginTop: 24, marginBottom: 40,
    x: { label: "share of the samples that were faster", labelAnchor: "center", labelArrow: "none", domain: [0, 1], tickFormat: "%" }, y: { type: "log", domain },
    marks: [...axis, ...series.map(({ method, times }) => Plot.line(d3.sort(times).map((time, i) => ({ time, share: (i + 0.5) / times.length })), { x: "share", y: "time", stroke: styleOf("method", method).colour, strokeWidth: 2 }))],
  });
  overTime.dataset.name = "Times in the order of measuring";
  spread.dataset.name = "Distribution of the times";
  for (const drawing of [overTime, spread]) { drawing.setAttribute("role", "img"); drawing.setAttribute("aria-label", drawing.dataset.name); }
  const box = element("div", { class: "plot", id: "closer" }, element("p", {}, element("b", {}, value("label", row) || value("case", row) || "")), legend("method", series.map(({ method }) => ({ name: method, ...styleOf("method", method) }))), element("div", { class: "closer" }, overTime, spread));
  box.append(saveButtons(box, () => series.map(({ method, times }) => (
    { method, samples: times.length, fastest: scaled(d3.min(times), "s"), median: scaled(median(times), "s"), slowest: scaled(d3.max(times), "s") }))));
  return box;
}

// Opens the samples of a row below it, or closes them again.
function lookCloser(row) {
  closer.row = closer.row === row ? null : row;
  showTable();
}

// The line of the table that holds the samples; null for a row that nobody looks at.
function closerLine(row) {
  return closer.row === row && !paper.printing ? element("tr", { class: "detail" }, element("td", { colspan: table.columns.length }, detailOf(row))) : null;
}
