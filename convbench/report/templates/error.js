// Relative error against the length of the reduction, with the bound of the verdict `ok`.
const VERDICT_SHAPES = { exact: "circle", ok: "square", reduced: "triangle", fail: "times" };

function boundOn(dtype, length) {
  const { out, acc } = payload.bounds[dtype];
  return out + 2 * acc * Math.sqrt(length);
}

// A wrong result may have no error at all (NaN, or a wrong shape); it belongs above everything.
function errorOf(row) {
  return value("rel_l2_err", row) ?? (value("accuracy", row) === "fail" ? NaN : null);
}

function judgedRows() {
  return filter.rows
    .map((row) => ({ row, length: value("reduction_length", row), error: errorOf(row), dtype: value("dtype", row), verdict: value("accuracy", row) }))
    .filter((one) => one.verdict !== null && finite(one.length) && one.length > 0 && typeof one.error === "number");
}

function drawError(width) {
  const all = judgedRows();
  if (!all.length) return { empty: filter.rows.length ? "None of the rows shown was judged against the reference." : nothingShown() };
  const dtypes = distinct("dtype").filter((dtype) => all.some((one) => one.dtype === dtype));
  const lengths = aroundWithTicks(all.map((one) => one.length), 0.04);
  const positive = all.map((one) => one.error).filter((e) => finite(e) && e > 0);
  const bounds = dtypes.flatMap((dtype) => lengths.map((length) => boundOn(dtype, length)));
  const [low, high] = aroundWithTicks([...positive, ...bounds], 0.04);
  const height = Math.max(300, Math.min(460, width * 0.6));
  const scale = { width, height, lengths, zero: low / (high / low) ** 0.06, domain: [low / (high / low) ** 0.1, high] };
  const drawing = errorDrawing(all, dtypes, scale);
  const verdicts = distinct("accuracy").filter((v) => all.some((one) => one.verdict === v));
  const counted = verdicts.map((v) => `${all.filter((one) => one.verdict === v).length.toLocaleString("en")} ${v}`).join(", ");
  const legends = element("div", {},
    legend("dtype and its bound", dtypes.map((name) => ({ name, colour: styleOf("dtype", name).colour, line: "6 3" }))),
    legend("verdict", verdicts.map((name) => ({ name, shape: VERDICT_SHAPES[name] }))));
  return { nodes: [legends, drawing], text: `${plural(all.length, "result")}: ${counted}. Lines: bound on the relative L2 error for the verdict ok, u_out + 2·u_acc·√K. ${worstOf(all)}`, data: () => all.map(errorRecord) };
}

const errorRecord = (one) => ({
  configuration: value("label", one.row), method: value("method", one.row), dtype: one.dtype, K: one.length,
  "relative L2 error": one.error, bound: boundOn(one.dtype, one.length), verdict: one.verdict,
});

function worstOf(all) {
  const judged = all.filter((one) => finite(value("bound_ratio", one.row)));
  if (!judged.length) return "";
  const worst = d3.greatest(judged, (one) => value("bound_ratio", one.row));
  return `Largest error in relation to its bound: ${times(value("bound_ratio", worst.row))} the bound (${value("label", worst.row)}, ${value("method", worst.row)}).`;
}

function errorDrawing(all, dtypes, { width, height, lengths, zero, domain }) {
  // An error of 0 has no place on a logarithmic axis and one that is no number has none on any: they lie on rails.
  const placed = all.map((one) => ({ ...one, y: one.error === 0 ? zero : finite(one.error) ? one.error : domain[1] }));
  const logs = (x, [a, b], pixels) => Math.round((Math.log(x / a) / Math.log(b / a)) * pixels / 2);
  const spots = thinned(placed, (one) => `${one.dtype} ${one.verdict} ${logs(one.length, lengths, width)} ${logs(one.y, domain, height)}`);
  const order = Object.keys(VERDICT_SHAPES);
  const lines = dtypes.flatMap((dtype) => curve(lengths).map((length) => ({ dtype, length, bound: boundOn(dtype, length) })));
  const zeros = placed.some((one) => one.error === 0);
  const marks = [
    ...logAxisX(logTicks(lengths, width - 72, 60), power, "products summed for one element, K"),
    ...logAxisY(logTicks([zeros ? zero * 2 : domain[0], domain[1]], height - 70, 30), power, "relative L2 error"),
    ...(zeros ? [Plot.ruleY([zero], { stroke: "var(--line)" }), Plot.text([zero], { x: lengths[0], y: zero, text: ["0"], textAnchor: "end", dx: -8 })] : []),
    Plot.line(lines, { x: "length", y: "bound", z: "dtype", stroke: (one) => styleOf("dtype", one.dtype).colour, strokeWidth: 2, strokeDasharray: "6 3" }),
    ...d3.groups(d3.sort(spots, (one) => order.indexOf(one.verdict)), (one) => one.dtype, (one) => one.verdict).flatMap(([dtype, kinds]) => kinds.map(([verdict, points]) =>
      dot(points, { x: "length", y: "y", colour: styleOf("dtype", dtype).colour, shape: VERDICT_SHAPES[verdict] ?? "circle", r: verdict === "fail" ? 6 : 3.5, fillOpacity: 0.65, dx: (dtypes.indexOf(dtype) - (dtypes.length - 1) / 2) * 9 }))),
    Plot.tip(spots, Plot.pointer({ x: "length", y: "y", title: errorTip, fill: "var(--surface)", stroke: "var(--line)" })),
  ];
  const drawing = Plot.plot({
    style: FONT, width, height, marginLeft: 56, marginRight: 16, marginTop: 26, marginBottom: 44,
    x: { type: "log", domain: lengths },
    y: { type: "log", domain },
    marks,
  });
  drawing.dataset.name = "Relative error against reduction length, with the bound for each dtype";
  return drawing;
}

const curve = ([low, high]) => d3.range(41).map((i) => low * (high / low) ** (i / 40));

function errorTip(one) {
  const { row } = one;
  return [value("label", row), `${value("method", row)}, ${one.dtype}: ${one.verdict}`, `relative L2 error ${significant(one.error)}, bound ${significant(boundOn(one.dtype, one.length))}`,
    `largest error over its bound: ${formatted("bound_ratio", value("bound_ratio", row)) || "unknown"}`, ...(value("reason", row) ? [value("reason", row)] : [])].join("\n") + same(one.n);
}

addPlot("error", drawError);
