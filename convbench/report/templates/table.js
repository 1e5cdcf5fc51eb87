// The rows: sorted by a click on a heading, in pages, with the columns one chooses; downloaded as they are shown.
const FIGURES = ["time_s", "speedup", "speedup_low", "speedup_high", "speed"].map((name) => LEADING + name);
// Beside what leads, the calls' own without their intervals.
const USUAL = ["method", "status", "accuracy", "bound_ratio", "rel_l2_err", ...FIGURES, "time_s", "speedup", "speed", "wall_speedup", "wall_speed", `${LEADING}converged`, "tflops"];
const table = { columns: [], sort: "", descending: false, page: 0, size: 25, rows: [] };

function chooseColumns() {
  const axes = payload.axes.filter((axis) => axis !== "method").slice(0, 6);
  const identity = payload.axes.length > 7 ? ["label"] : axes.length ? axes : ["case"];
  table.columns = [...new Set([...(payload.axes.includes("run") ? ["run"] : []), ...identity, ...USUAL])].filter(has);
}

function sortRows() {
  table.rows = filter.rows.slice();
  if (!table.sort) return;
  const sign = table.descending ? -1 : 1;
  const missing = (v) => v === null || Number.isNaN(v);
  table.rows.sort((a, b) => {
    const [u, v] = [value(table.sort, a), value(table.sort, b)];
    if (missing(u) || missing(v)) return missing(u) - missing(v) || a - b;
    return sign * compareNatural(u, v) || a - b;
  });
}

function showTable() {
  const pages = Math.max(1, Math.ceil(table.rows.length / table.size));
  table.page = Math.min(table.page, pages - 1);
  const from = paper.printing ? 0 : table.page * table.size;
  const rows = table.rows.slice(from, from + (paper.printing ? paper.rows : table.size));
  document.getElementById("table-head").replaceChildren(element("tr", {}, ...columnsShown().map(heading)));
  document.getElementById("table-body").replaceChildren(...rows.flatMap((row) => [rowLine(row), closerLine(row)].filter(Boolean)));
  document.getElementById("table-place").textContent = rows.length ? `rows ${(from + 1).toLocaleString("en")}–${(from + rows.length).toLocaleString("en")} of ${table.rows.length.toLocaleString("en")}` : "no row matches the filter";
  document.getElementById("table-first").disabled = document.getElementById("table-previous").disabled = table.page === 0;
  document.getElementById("table-last").disabled = document.getElementById("table-next").disabled = table.page === pages - 1;
}

const columnsShown = () => (paper.printing ? table.columns.slice(0, paper.columns) : table.columns);

// A click on a row, or Enter, shows its samples; a click that selects text does not.
function rowLine(row) {
  const look = () => { if (!String(getSelection())) { lookCloser(row); document.querySelector(`#table-body tr[data-row="${row}"]`)?.focus(); } };
  const keys = (event) => { if (event.key === "Enter") { event.preventDefault(); look(); } };
  return element("tr", { tabindex: "0", "data-row": row, "aria-expanded": String(closer.row === row), onclick: look, onkeydown: keys }, ...columnsShown().map((name) => cell(name, row)));
}

const isNumeric = (name) => ["int", "float"].includes(columns.get(name).type);

function heading(name) {
  const { meaning, unit } = columns.get(name);
  const sorted = table.sort === name ? (table.descending ? "descending" : "ascending") : "none";
  const arrow = { ascending: " ▲", descending: " ▼", none: "" }[sorted];
  // Chromium repeats a head on every page, but no button in it.
  if (paper.printing) return element("th", { scope: "col", class: isNumeric(name) ? "number" : null }, ...breakable(name));
  const button = element("button", { type: "button", title: meaning + (unit ? ` (${unit})` : ""), "data-column": name, onclick: () => sortBy(name) }, name, element("span", { "aria-hidden": "true" }, arrow));
  return element("th", { scope: "col", "aria-sort": sorted, class: isNumeric(name) ? "number" : null }, button);
}

// On paper a long name goes on below, after an underscore.
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));

function sortBy(name) {
  if (table.sort !== name) Object.assign(table, { sort: name, descending: false });
  else if (!table.descending) table.descending = true;
  else Object.assign(table, { sort: "", descending: false });
  table.page = 0;
  sortRows();
  showTable();
  document.querySelector(`#table-head button[data-column="${CSS.escape(name)}"]`).focus();
}

const VERDICT_SIGNS = { fail: "✕", wrong: "✕", impossible: "✕", slower: "▼", faster: "▲", exact: "✓", ok: "✓", reduced: "!", error: "✕", crash: "✕", timeout: "✕", oom: "✕" };

const RAN_WRONG = "status=ok: the method ran to its end; accuracy=fail: its gradient is wrong";

function cell(name, row) {
  const v = value(name, row);
  const text = formatted(name, v);
  if (["status", "accuracy", "speed", "backward_speed", "wall_speed"].includes(name) && v !== null) {
    const ranWrong = name === "status" && v === "ok" && isWrong(row);
    const shown = ranWrong ? "wrong" : v;
    const sign = VERDICT_SIGNS[shown];
    const title = ranWrong ? RAN_WRONG : v !== "ok" || name !== "status" ? value("reason", row) : null;
    return element("td", { title }, element("span", { class: `verdict ${shown}` }, ...(sign ? [element("span", { "aria-hidden": "true" }, `${sign} `)] : []), ranWrong ? shown : text));
  }
  return element("td", { class: isNumeric(name) ? "number" : name === "reason" ? "long" : null, title: typeof v === "number" && text !== String(v) ? String(v) : null }, text);
}

function buildTable() {
  const turn = (to) => () => { table.page = Math.max(0, to()); showTable(); };
  const on = (id, run) => document.getElementById(id).addEventListener("click", run);
  on("table-first", turn(() => 0));
  on("table-previous", turn(() => table.page - 1));
  on("table-next", turn(() => table.page + 1));
  on("table-last", turn(() => Math.ceil(table.rows.length / table.size) - 1));
  on("download", download);
  document.getElementById("table-size").append(select("rows per page", ["25", "50", "100", "250"], "25", (v) => { Object.assign(table, { size: Number(v), page: 0 }); showTable(); }));
  document.getElementById("column-choice").append(...payload.columns.map(({ name, meaning }) => columnBox(name, meaning)));
  listeners.push(() => { table.page = 0; sortRows(); showTable(); });
}

function columnBox(name, meaning) {
  const box = element("input", { type: "checkbox", checked: table.columns.includes(name), onchange: (event) => toggleColumn(name, event.target.checked) });
  return element("label", { title: meaning }, box, " ", name);
}

// A column comes where the table's own order puts it, the chosen first ones staying in front.
function toggleColumn(name, wanted) {
  table.columns = wanted ? [...table.columns, name] : table.columns.filter((column) => column !== name);
  showTable();
}

// RFC 4180: every row that passes the filter, in the order shown, the columns shown, values in the table's own units.
// No text is a formula for a spreadsheet: it gets an apostrophe, as in results.csv.
function asCsv() {
  const plain = (v) => typeof v === "string" ? v.replace(/^('*[=+\-@\t\r])/, "'$1") : String(v);
  const quoted = (v) => { const text = v === null || v === undefined ? "" : plain(v); return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text; };
  const lines = [table.columns, ...table.rows.map((row) => table.columns.map((name) => value(name, row)))];
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function download() {
  save(asCsv(), "text/csv;charset=utf-8", "convbench-rows.csv");
}
