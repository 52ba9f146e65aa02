// A page of one scan: its notes, the viewer, and a table of figures.
function showFigures({ header, rows, notes }) {
  byId("figures-section").hidden = !rows.length;
  const cell = (text, number) => el("td", { class: number ? "number" : "" }, text);
  byId("figures").replaceChildren(
    el("thead", {}, el("tr", {}, ...header.map((text) => el("td", {}, text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))));
  byId("figures-note").textContent = notes.join(" ");
}

function main() {
  setupTheme();
  byId("summary").textContent = data.summary;
  byId("scan-notes").replaceChildren(...data.notes.map((note) => el("li", {}, note)));
  byId("choice-row").hidden = data.viewers.length < 2;
  options(byId("choice"), data.viewers.map(({ title }, number) => [number, title]), 0);
  byId("choice").addEventListener("change", (event) => showViewer(data.viewers[event.target.value].viewer));
  showFigures(data.figures);
  setupViewer();
  showViewer(data.viewers[0].viewer);
}
