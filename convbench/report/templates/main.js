// Puts the page together.
function buildTheme() {
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("convbench-theme", theme); } catch { /* a page opened from a file may have no storage */ }
  };
  let stored = null;
  try { stored = localStorage.getItem("convbench-theme"); } catch { /* as above */ }
  set(themes.includes(stored) ? stored : "auto");
  button.addEventListener("click", () => set(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));
}

for (const button of document.querySelectorAll("button[data-rows]")) {
  button.addEventListener("click", () => showRows(JSON.parse(button.dataset.rows), button.dataset.name));
}
for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    drawAllPlots();
    place.section = link.hash.slice(1);
    rememberFilter();
    document.getElementById(place.section).scrollIntoView();
  });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => copy(button.dataset.copy, button));
}
document.documentElement.classList.add("scripted");
buildTheme();
buildTableButtons();
if (COUNT) {
  chooseColumns();
  buildFilters();
  buildTable();
  listeners.push(refreshPlots, rememberFilter);
  recallFilter();
  applyFilter();
  watchFilterHeight();
}
watchSize();
document.documentElement.dataset.ready = "true";
