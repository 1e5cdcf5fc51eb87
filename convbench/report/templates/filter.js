// Which rows are shown, by the plots and the table alike.
const OPERATORS = /^([\p{L}_][\p{L}\p{N}_.]*)(<=|>=|!=|=|<|>|:)(.*)$/u;
const FACETS_AT_MOST = 10;

const filter = { query: "", facets: new Map(), chosen: null, rows: d3.range(COUNT), problem: "" };
const listeners = [];

const searched = ["label", "case", "method", "status", "accuracy", `${LEADING}speed`, "dtype", "device", "reason", "config_id", "run", ...payload.labels];
const texts = new Array(COUNT);
function textOf(row) {
  texts[row] ??= searched.map((name) => value(name, row) ?? "").join("\u0000").toLowerCase();
  return texts[row];
}

// A query's term → a test of a row, or a sentence about what is wrong with it.
function termTest(term) {
  const parts = OPERATORS.exec(term);
  if (!parts) {
    const needle = term.toLowerCase();
    return (row) => textOf(row).includes(needle);
  }
  const [, name, operator, operand] = parts;
  if (!has(name)) return `There is no column named ${name}.`;
  if (operator === ":") return (row) => String(value(name, row) ?? "").toLowerCase().includes(operand.toLowerCase());
  return comparison(name, operator, operand);
}

const QUANTITY = /^([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([TGMkmµun]?)(s|B|FLOP\/s|B\/s|FLOP|Hz|×|x|%)?$/i;
const FACTORS = { ...Object.fromEntries(PREFIXES.map(([factor, prefix]) => [prefix, factor])), u: 1e-6, K: 1e3 };

// A number as the page shows it: 50us, 1.2 MB, 3 GFLOP/s, 1.5×, 20%; in the column's own unit. NaN where it is none.
function numberOf(name, operand) {
  if (operand === "") return NaN;
  const plain = Number(operand);
  if (!Number.isNaN(plain)) return plain;
  const parts = QUANTITY.exec(operand.replace("−", "-"));
  if (!parts) return NaN;
  const [, digits, prefix, unit] = parts;
  if (unit === "%") return Number(digits) / 100;
  const base = BASE_UNITS[columns.get(name).unit]?.[0] ?? 1;
  return (Number(digits) * (FACTORS[prefix] ?? 1)) / base;
}

function comparison(name, operator, operand) {
  const numeric = ["int", "float"].includes(columns.get(name).type) || distinct(name).every((v) => typeof v === "number");
  const number = numberOf(name, operand);
  if (operator === "=" || operator === "!=") {
    const wanted = operand.toLowerCase();
    const same = (v) => (v === null ? wanted === "" : String(v).toLowerCase() === wanted || (typeof v === "number" && v === number));
    return (row) => same(value(name, row)) === (operator === "=");
  }
  if (!numeric) return `${name} is text: use ${name}=… or ${name}:… (contains).`;
  if (Number.isNaN(number)) return `${name}${operator}${operand} needs a number, as in ${name}${operator}${exampleOf(name)}.`;
  const test = { "<": (v) => v < number, ">": (v) => v > number, "<=": (v) => v <= number, ">=": (v) => v >= number }[operator];
  return (row) => { const v = value(name, row); return v !== null && test(v); };
}

// How a value of the column may be written, as the table shows one; without a blank.
function exampleOf(name) {
  const known = distinct(name).find((v) => finite(v) && v !== 0);
  return known === undefined ? "1" : formatted(name, known).replace(" ", "");
}

function applyFilter() {
  const terms = filter.query.match(/(?:"[^"]*"|[^\s"])+/g) || [];
  const tests = terms.map((term) => termTest(term.replace(/"/g, "")));
  filter.problem = tests.find((test) => typeof test === "string") || "";
  const used = tests.filter((test) => typeof test === "function");
  for (const [name, wanted] of filter.facets) used.push((row) => String(value(name, row)) === wanted);
  if (filter.chosen) used.push((row) => filter.chosen.keys.has(placeKey(configuration(row), value("method", row))));
  filter.rows = d3.range(COUNT).filter((row) => used.every((test) => test(row)));
  for (const listener of listeners) listener();
}

function facetNames() {
  const usual = ["method", "status", "accuracy", `${LEADING}speed`];
  const names = [...usual, ...payload.axes.filter((axis) => !usual.includes(axis))];
  return names.filter((name) => has(name) && distinct(name).length > 1 && distinct(name).length <= 60).slice(0, FACETS_AT_MOST);
}

function buildFilters() {
  const form = document.getElementById("filters");
  const search = element("input", {
    type: "search", id: "query", autocomplete: "off", spellcheck: "false", "aria-describedby": "query-help",
    placeholder: `bfloat16 ${LEADING}speedup>1.1 status=ok`,
    oninput: debounce((event) => { filter.query = event.target.value; applyFilter(); }, 150),
  });
  const choices = facetNames().map((name) => select(name, [["", "all"], ...distinct(name).map((v) => [String(v), formatted(name, v)])], "", (v) => {
    if (v === "") filter.facets.delete(name);
    else filter.facets.set(name, v);
    applyFilter();
  }));
  facetNames().forEach((name, i) => { choices[i].querySelector("select").dataset.facet = name; });
  const reset = element("button", { type: "button", id: "show-all", onclick: resetFilters }, "Show all");
  form.append(element("label", { class: "choice wide" }, element("span", {}, "find"), search), ...choices, reset);
  form.addEventListener("submit", (event) => event.preventDefault());
  listeners.push(showFilterState);
}

// The height of the filter where it stays at the top, 0 where it scrolls with the page; see report.css.
function watchFilterHeight() {
  const bar = document.getElementById("explore");
  const measure = () => {
    const height = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    document.documentElement.style.setProperty("--filter-height", `${height}px`);
  };
  new ResizeObserver(measure).observe(bar);
  window.addEventListener("resize", measure);
}

function showFilterState() {
  const shown = filter.rows.length;
  const chosen = filter.chosen ? ` · only ${filter.chosen.name}` : "";
  const all = payload.total > COUNT ? `${plural(COUNT, "row")} held by this page` : plural(COUNT, "row");
  document.getElementById("shown").textContent = (shown === COUNT ? `All ${all}` : `${shown.toLocaleString("en")} of ${all}`) + chosen;
  document.getElementById("problem").textContent = filter.problem;
  document.getElementById("show-all").disabled = shown === COUNT && !filter.query && !filter.facets.size && !filter.chosen;
}

function clearFilters() {
  Object.assign(filter, { query: "", chosen: null });
  filter.facets.clear();
  document.getElementById("filters").reset();
}

function resetFilters() {
  clearFilters();
  applyFilter();
}

// Only these rows, [configuration, method] each, from a finding or a failure; the table comes into view.
function showRows(places, name) {
  clearFilters();
  filter.chosen = { keys: new Set(places.map((place) => placeKey(...place))), name };
  applyFilter();
  drawAllPlots();
  const heading = document.getElementById("table-heading");
  heading.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

// The filter and the section stand in the page's address, so that a link shows what was looked at.
const place = { section: "" };

function rememberFilter() {
  const said = new URLSearchParams();
  if (filter.query) said.set("find", filter.query);
  for (const [name, wanted] of filter.facets) said.set(name, wanted);
  const parts = [place.section, ...(said.size ? [said.toString()] : [])];
  const hash = said.size || place.section ? `#${parts.join("?")}` : " ";
  try { history.replaceState(null, "", hash === " " ? location.pathname + location.search : hash); } catch { /* a page without an address of its own */ }
}

function recallFilter() {
  const [section, said] = location.hash.slice(1).split("?");
  place.section = document.getElementById(section) ? section : "";
  const form = document.getElementById("filters");
  for (const [name, wanted] of new URLSearchParams(said ?? "")) {
    if (name === "find") filter.query = document.getElementById("query").value = wanted;
    const choice = form.querySelector(`select[data-facet="${CSS.escape(name)}"]`);
    if (choice && [...choice.options].some((option) => option.value === wanted)) {
      choice.value = wanted;
      filter.facets.set(name, wanted);
    }
  }
  if (place.section) requestAnimationFrame(() => { drawAllPlots(); document.getElementById(place.section).scrollIntoView(); });
}

function debounce(run, wait) {
  let timer;
  return (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(event), wait);
  };
}
