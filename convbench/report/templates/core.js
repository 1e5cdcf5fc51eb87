// The data, formatting and small helpers. All script files share one function scope (page.py joins them).
const payload = JSON.parse(document.getElementById("payload").textContent);
const COUNT = payload.n;
const columns = new Map(payload.columns.map((column) => [column.name, column]));
const SPECIAL = { nan: NaN, inf: Infinity, "-inf": -Infinity };

const readers = new Map();
for (const [name, packed] of Object.entries(payload.values)) {
  // JSON has no number for these three; payload.py writes them as strings.
  const fix = columns.get(name).type === "float" ? (v) => (typeof v === "string" ? SPECIAL[v] : v) : (v) => v;
  if ("c" in packed) {
    const constant = fix(packed.c);
    readers.set(name, () => constant);
  } else if ("d" in packed) {
    const distinct = packed.d.map(fix);
    readers.set(name, (row) => distinct[packed.i[row]]);
  } else {
    readers.set(name, (row) => fix(packed.v[row]));
  }
}

// The value of a column in a row; null where unknown.
function value(name, row) {
  const read = readers.get(name);
  return read ? read(row) : null;
}

function has(name) {
  return columns.has(name);
}

const isWrong = (row) => value("accuracy", row) === "fail";
const isBaseline = (row) => value("method", row) === value("baseline", row);
// The number of a row's configuration; data.py counts them.
const configuration = (row) => payload.configuration[row];
const placeKey = (number, method) => `${number} ${method}`;
const finite = (x) => typeof x === "number" && Number.isFinite(x);

// Numbers by size, text with numbers in it by those numbers (3×5 before 12×1), unknown last.
function compareNatural(a, b) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  if (typeof a === "number" && typeof b === "number") return Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

const known = new Map();
// The distinct values of a column over all rows, in natural order (dtypes, statuses and verdicts in their own).
function distinct(name) {
  if (!known.has(name)) {
    const values = new Set();
    for (let row = 0; row < COUNT; row++) {
      const v = value(name, row);
      if (v !== null) values.add(v);
    }
    const order = (Object.hasOwn(payload.order, name) ? payload.order[name] : null) || (name === "dtype" ? Object.keys(payload.bounds) : null);
    const found = [...values];
    if (order) found.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    else if (name === "method") found.sort((a, b) => isAnyBaseline(b) - isAnyBaseline(a));
    else if (name !== "run" && !payload.labels.includes(name)) found.sort(compareNatural);
    known.set(name, found);
  }
  return known.get(name);
}

function isAnyBaseline(method) {
  return distinct("baseline").includes(method);
}

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"]];

function significant(x, digits = 3) {
  if (!finite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
  if (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6)) return x.toExponential(digits - 1).replace("-", "−").replace("e+", "e");
  return String(Number(x.toPrecision(digits))).replace("-", "−");
}

const prefixOf = (x) => PREFIXES.find(([factor]) => Math.abs(x) >= factor * 0.9995) || PREFIXES[PREFIXES.length - 1];

// 1.23e-5, "s" → "12.3 µs"
function scaled(x, unit) {
  if (x === 0 || !finite(x)) return `${significant(x)} ${unit}`;
  const [factor, prefix] = prefixOf(x);
  return `${Number((x / factor).toPrecision(3))} ${prefix}${unit}`;
}

// 1.31, 12.3, 123, 0.42: two decimals near 1, where the margin of a verdict is 3%; as units.py does it.
function ratio(x) {
  if (!finite(x) || x <= 0) return significant(x);
  const decimals = x < 0.0995 ? 1 - Math.floor(Math.log10(x)) : x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
  return x.toFixed(Math.min(decimals, 6));
}

const times = (x) => `${ratio(x)}×`;
const RATIO = /(^|_)speedup(_|$)/;
// What answers the first question leads: a training step's figures where the table has them (lead.py).
const LEADING = has("backward_speedup") ? "backward_" : "";
const BASE_UNITS = { s: [1, "s"], B: [1, "B"], "TFLOP/s": [1e12, "FLOP/s"], "GB/s": [1e9, "B/s"], MHz: [1e6, "Hz"] };

// A cell's text.
function formatted(name, v) {
  if (v === null || v === undefined) return "";
  if (typeof v === "boolean") return v ? "yes" : "no";
  if (typeof v !== "number") return String(v);
  if (RATIO.test(name)) return times(v);
  if (name === "bytes" || name === "flops") return scaled(v, name === "bytes" ? "B" : "FLOP");
  const { type, unit } = columns.get(name);
  if (unit in BASE_UNITS) return scaled(v * BASE_UNITS[unit][0], BASE_UNITS[unit][1]);
  return type === "int" ? String(v) : significant(v);
}

function median(values) {
  return d3.median(values);
}

function plural(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

// An element with attributes (on… are listeners) and children; text is never read as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, v] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), v);
    else if (v === true) made.setAttribute(key, "");
    else if (v !== false && v !== null && v !== undefined) made.setAttribute(key, v);
  }
  made.append(...children);
  return made;
}

// Puts `text` on the clipboard and says so on the button for a moment; browsers without the newer way have the older one.
async function copy(text, button) {
  const said = button.textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { readonly: true, class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Select the text and copy it";
  setTimeout(() => { button.textContent = said; }, 1500);
}

// A labelled select; `options` are values or [value, text].
function select(label, options, chosen, change) {
  const made = element("select", { onchange: (event) => change(event.target.value) });
  for (const option of options) {
    const [v, text] = Array.isArray(option) ? option : [option, option];
    made.append(element("option", { value: v, selected: v === chosen }, text));
  }
  return element("label", { class: "choice" }, element("span", {}, label), made);
}
