// Plots as SVG and PNG, tables as Markdown and LaTeX: what is shown, for a paper or a message.
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

// Two small buttons under a plot; several panels become several files.
function saveButtons(box) {
  const drawings = () => [...box.querySelectorAll("svg[data-name]")];
  const name = (i) => `convbench-${box.id}${drawings().length > 1 ? `-${i + 1}` : ""}`;
  return element("p", { class: "saving" },
    element("button", { type: "button", "data-save": "svg", onclick: () => drawings().forEach((one, i) => save(standalone(one), "image/svg+xml", `${name(i)}.svg`)) }, "SVG"),
    element("button", { type: "button", "data-save": "png", onclick: () => drawings().forEach((one, i) => savePng(one, name(i))) }, "PNG"));
}

const MARKDOWN_MARKS = /[\\|`*_[\]~<>]/g;
const LATEX_MARKS = { "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "×": "$\\times$", "→": "$\\to$", "µ": "\\textmu{}", "·": "$\\cdot$", "–": "--", "✕": "", "−": "$-$" };

// The cells of an element of the page as texts, a list for each line, the head first.
const texts2d = (table) => [...table.rows].map((line) => [...line.cells].map((one) => one.innerText.replace(/\s+/g, " ").trim()));

function asMarkdown(table) {
  const [head, ...body] = texts2d(table);
  const line = (cells) => `| ${cells.map((text) => text.replace(MARKDOWN_MARKS, "\\$&")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...body.map(line)].join("\n") + "\n";
}

// A booktabs table; columns of numbers are set to the right, as on the page.
function asLatex(table) {
  const [head, ...body] = texts2d(table);
  const right = [...(table.tBodies[0]?.rows[0]?.cells ?? [])].map((one) => (one.classList.contains("number") ? "r" : "l"));
  const line = (cells) => `  ${cells.map((text) => [...text].map((c) => LATEX_MARKS[c] ?? c).join("")).join(" & ")} \\\\`;
  return [`\\begin{tabular}{${right.join("")}}`, "  \\toprule", line(head), "  \\midrule", ...body.map(line), "  \\bottomrule", "\\end{tabular}"].join("\n") + "\n";
}

function buildTableButtons() {
  for (const bar of document.querySelectorAll("[data-table]")) {
    const table = () => document.getElementById(bar.dataset.table);
    bar.append(
      element("button", { type: "button", "data-copies": "markdown", onclick: (event) => copy(asMarkdown(table()), event.currentTarget) }, "Copy as Markdown"),
      element("button", { type: "button", "data-copies": "latex", onclick: (event) => copy(asLatex(table()), event.currentTarget) }, "Copy as LaTeX"));
  }
}
