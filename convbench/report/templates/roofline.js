// How near to the machine's measured ceilings: rate against intensity, and time against operations.
function timedRows() {
  return filter.rows
    .map((row) => ({
      row, flops: value("flops", row), bytes: value("bytes", row), time: value("time_s", row), dtype: value("dtype", row), method: value("method", row),
      place: [value("run", row), value("device", row), value("dtype", row)].join(" "), compute: value("ceiling_tflops", row), memory: value("ceiling_gbps", row),
    }))
    .filter((one) => one.flops > 0 && one.time > 0)
    .map((one) => ({ ...one, rate: one.flops / one.time, intensity: one.bytes > 0 ? one.flops / one.bytes : null }));
}

// One pair of ceilings for each run, device and dtype (their median where a resumed run measured them twice).
function ceilingsOf(all) {
  return d3.groups(all.filter((one) => one.compute > 0), (one) => one.place).map(([place, members]) => {
    const memory = members.map((one) => one.memory).filter((m) => m > 0);
    return { place, name: ceilingName(members[0].row), dtype: members[0].dtype, compute: median(members.map((one) => one.compute)) * 1e12, memory: memory.length ? median(memory) * 1e9 : null };
  });
}

function ceilingName(row) {
  const parts = ["run", "device", "dtype"].filter((name) => name === "dtype" || distinct(name).length > 1);
  return parts.map((name) => value(name, row)).join(" ");
}

function nothingToRate() {
  return filter.rows.length ? "None of the rows shown has a time, so there is no rate to compare with a ceiling." : nothingShown();
}

function methodDots(spots, y) {
  const crowded = spots.length > 1000;
  return d3.groups(spots, (one) => one.method, (one) => one.dtype).flatMap(([method, dtypes]) => dtypes.map(([dtype, points]) =>
    dot(points, { x: "x", y, shape: styleOf("method", method).shape, colour: styleOf("dtype", dtype).colour, r: crowded ? 2.4 : 3.5, fillOpacity: crowded ? 0.35 : 0.6, strokeOpacity: crowded ? 0.4 : 1 })));
}

function spotsOn(all, width, height) {
  const [xs, ys] = [around(all.map((one) => one.x)), around(all.map((one) => one.y))];
  const grid = all.length > 5000 ? 4 : 2;
  const logs = (v, [a, b], pixels) => Math.round((Math.log(v / a) / Math.log(b / a)) * pixels / grid);
  return thinned(all, (one) => `${one.method} ${one.dtype} ${logs(one.x, xs, width)} ${logs(one.y, ys, height)}`);
}

function ratePlot(all, { xs, ys, lines, spots, width, height, x, y, name }) {
  const drawing = Plot.plot({
    style: FONT, width, height, marginLeft: 60, marginRight: 16, marginTop: 26, marginBottom: 44,
    x: { type: "log", domain: xs },
    y: { type: "log", domain: ys },
    marks: [
      ...logAxisX(logTicks(xs, width - 76, 66), x.format, x.label),
      ...logAxisY(logTicks(ys, height - 70, 30), y.format, y.label),
      Plot.line(lines, { x: "x", y: "y", z: "place", stroke: (one) => styleOf("dtype", one.dtype).colour, strokeWidth: 2, strokeDasharray: "6 3", clip: true }),
      ...methodDots(spots, "y"),
      Plot.tip(spots, Plot.pointer({ x: "x", y: "y", title: rateTip, fill: "var(--surface)", stroke: "var(--line)" })),
    ],
  });
  drawing.dataset.name = name;
  return drawing;
}

function drawRoofline(width) {
  const all = timedRows().filter((one) => one.intensity).map((one) => ({ ...one, x: one.intensity, y: one.rate }));
  if (!all.length) return { empty: nothingToRate() };
  const ceilings = ceilingsOf(all);
  const height = Math.max(280, Math.min(400, width * 0.75));
  const xs = aroundWithTicks(all.map((one) => one.x), 0.08);
  const ys = aroundWithTicks([...all.map((one) => one.y), ...ceilings.map((one) => one.compute)], 0.05);
  const [factor, prefix] = prefixOf(ys[1]);
  const roof = (one, x) => Math.min(one.compute, one.memory === null ? Infinity : x * one.memory);
  const lines = ceilings.flatMap((one) => curve(xs).map((x) => ({ place: one.place, dtype: one.dtype, x, y: roof(one, x) })));
  const drawing = ratePlot(all, {
    xs, ys, lines, spots: spotsOn(all, width, height), width, height, name: "Roofline: rate against operations per byte, with the measured ceilings",
    x: { label: "operations per byte moved at least", format: power }, y: { label: `rate (${prefix}FLOP/s)`, format: (v) => significant(v / factor, 2) },
  });
  return { nodes: [drawing], text: `${plural(all.length, "timed row")}. ${ceilingText(ceilings)} ${shareText(all)}`, data: () => all.map(rateRecord) };
}

function drawTime(width) {
  const all = timedRows().map((one) => ({ ...one, x: one.flops, y: one.time }));
  if (!all.length) return { empty: nothingToRate() };
  const ceilings = ceilingsOf(all);
  const height = Math.max(280, Math.min(400, width * 0.75));
  const xs = aroundWithTicks(all.map((one) => one.x), 0.08);
  const ys = aroundWithTicks([...all.map((one) => one.y), ...ceilings.map((one) => Math.sqrt(xs[0] * xs[1]) / one.compute)], 0.08);
  const lines = ceilings.flatMap((one) => xs.map((x) => ({ place: one.place, dtype: one.dtype, x, y: x / one.compute })));
  const drawing = ratePlot(all, {
    xs, ys, lines, spots: spotsOn(all, width, height), width, height, name: "Time against operations, with the time at the measured ceiling",
    x: { label: "operations", format: (v) => scaled(v, "FLOP") }, y: { label: "time", format: (v) => scaled(v, "s") },
  });
  return { nodes: [drawing], text: ceilings.length ? "Lines: the time these operations take at the measured ceiling; the nearer to its line, the better." : "", data: () => all.map(rateRecord) };
}

const rateRecord = (one) => ({
  configuration: value("label", one.row), method: one.method, dtype: one.dtype, operations: scaled(one.flops, "FLOP"),
  "operations per byte": one.intensity ?? "", time: scaled(one.time, "s"), rate: scaled(one.rate, "FLOP/s"),
});

function ceilingText(ceilings) {
  if (!ceilings.length) return "The run measured no ceilings, so none are drawn.";
  const one = (c) => `${c.name}: ${scaled(c.compute, "FLOP/s")}${c.memory ? `, ${scaled(c.memory, "B/s")}` : ""}`;
  return `Ceilings measured in the run (large matrix product, large copy): ${ceilings.map(one).join("; ")}.`;
}

function shareText(all) {
  const shares = all.map((one) => value("ceiling_share", one.row)).filter(finite);
  return shares.length ? `Share of the ceiling reached: median ${significant(median(shares) * 100, 2)}%, best ${significant(d3.max(shares) * 100, 2)}%.` : "";
}

function rateTip(one) {
  return [value("label", one.row), `${one.method}, ${one.dtype}: ${scaled(one.time, "s")}`, `${scaled(one.flops, "FLOP")} at ${scaled(one.rate, "FLOP/s")}`,
    ...(finite(value("ceiling_share", one.row)) ? [`${significant(value("ceiling_share", one.row) * 100, 2)}% of the ceiling`] : [])].join("\n") + same(one.n);
}

function drawRoofLegend() {
  const all = timedRows();
  if (!all.length) return { empty: nothingToRate() };
  const [methods, dtypes] = ["method", "dtype"].map((name) => distinct(name).filter((v) => all.some((one) => one[name] === v)));
  return { nodes: [legend("dtype and its ceiling", dtypes.map((name) => ({ name, colour: styleOf("dtype", name).colour, line: "6 3" }))), legend("method", methods.map((name) => ({ name, shape: styleOf("method", name).shape })))] };
}

addPlot("roof-legend", drawRoofLegend);
addPlot("roofline", drawRoofline);
addPlot("time", drawTime);
