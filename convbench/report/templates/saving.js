// Plots as SVG and PNG, their data and the tables as Markdown and LaTeX: what is shown, for a paper or a message.
const PNG_SCALE = 3;

function save(content, type, name) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// A drawing that stands alone: the page's colours written out, since a file has no style sheet of the page.
function standalone(drawing) {
  const copy = drawing.cloneNode(true);
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
    const seen = getComputedStyle(originals[i]);
    for (const key of ["fill", "stroke", "font-size", "font-family", "font-weight", "color"]) node.style.setProperty(key, seen.getPropertyValue(key));
    for (const key of ["fill", "stroke"]) if (node.hasAttribute(key)) node.setAttribute(key, seen.getPropertyValue(key));
  });
  copy.querySelectorAll("[aria-label=tip]").forEach((tip) => tip.remove());
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.style.background = getComputedStyle(document.querySelector("main > section")).backgroundColor;
  return new XMLSerializer().serializeToString(copy);
}

function savePng(drawing, name) {
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas", { width: drawing.clientWidth * PNG_SCALE, height: drawing.clientHeight * PNG_SCALE });
    const context = canvas.getContext("2d");
    context.scale(PNG_SCALE, PNG_SCALE);
    context.drawImage(image, 0, 0, drawing.clientWidth, drawing.clientHeight);
    canvas.toBlob((blob) => save(blob, "image/png", `${name}.png`));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(drawing))}`;
}

// Small buttons under a plot; several panels become several files. `data`: see addPlot.
function saveButtons(box, data) {
  const drawings = () => [...box.querySelectorAll("svg[data-name]")];
  const name = (i) => `convbench-${box.id}${drawings().length > 1 ? `-${i + 1}` : ""}`;
  const saver = (kind, text, one) => element("button", { type: "button", "data-save": kind, onclick: () => drawings().forEach(one) }, text);
  return element("p", { class: "saving" },
    saver("svg", "SVG", (one, i) => save(standalone(one), "image/svg+xml", `${name(i)}.svg`)),
    saver("png", "PNG", (one, i) => savePng(one, name(i))),
    ...copyButtons(() => ofRecords(data()), "data as Markdown", "data as LaTeX"));
}

const MARKDOWN_MARKS = /[\\|`*_[\]~<>]/g;
const LATEX_MARKS = { "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "×": "$\\times$", "→": "$\\to$", "µ": "\\textmu{}", "·": "$\\cdot$", "–": "--", "✕": "", "−": "$-$", "∞": "$\\infty$" };

const NUMBER = /^([−-]?[\d.]+(e[−-]?\d+)?( ?[a-zA-Zµ%×/]+)?|NaN|[−-]?∞|)$/;

// What is to be copied: the head, the lines below it, and which columns hold numbers. Of a table of the page as it is shown,
// without its buttons and what belongs to them.
function ofTable(table) {
  const shown = (line) => [...line.cells].filter((one) => !one.querySelector("[data-rows]") && !one.classList.contains("buttons"));
  const text = (one) => one.innerText.replace(/\s+/g, " ").trim();
  const [head, ...body] = [...table.rows].filter((line) => !line.classList.contains("detail")).map((line) => shown(line).map(text));
  return { head, body, right: shown(table.tBodies[0]?.rows[0] ?? { cells: [] }).map((one) => one.classList.contains("number")) };
}

// The same of a plot's records.
function ofRecords(records) {
  const head = Object.keys(records[0]);
  const body = records.map((one) => head.map((key) => (typeof one[key] === "number" ? significant(one[key], 4) : String(one[key] ?? ""))));
  return { head, body, right: head.map((_, i) => body.every((line) => NUMBER.test(line[i]))) };
}

function asMarkdown({ head, body }) {
  const line = (cells) => `| ${cells.map((text) => text.replace(MARKDOWN_MARKS, "\\$&")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...body.map(line)].join("\n") + "\n";
}

// A booktabs table; columns of numbers are set to the right, as on the page.
function asLatex({ head, body, right }) {
  const line = (cells) => `  ${cells.map((text) => [...text].map((c) => LATEX_MARKS[c] ?? c).join("")).join(" & ")} \\\\`;
  const places = head.map((_, i) => (right[i] ? "r" : "l")).join("");
  return [`\\begin{tabular}{${places}}`, "  \\toprule", line(head), "  \\midrule", ...body.map(line), "  \\bottomrule", "\\end{tabular}"].join("\n") + "\n";
}

function copyButtons(content, markdown, latex) {
  const button = (kind, text, write) => element("button", { type: "button", "data-copies": kind, onclick: (event) => copy(write(content()), event.currentTarget) }, text);
  return [button("markdown", markdown, asMarkdown), button("latex", latex, asLatex)];
}

function buildTableButtons() {
  for (const bar of document.querySelectorAll("[data-table]")) {
    bar.append(...copyButtons(() => ofTable(document.getElementById(bar.dataset.table)), "Copy as Markdown", "Copy as LaTeX"));
  }
}
