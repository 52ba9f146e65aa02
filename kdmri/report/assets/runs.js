// Commands and configurations of an experiment, its choice, and the start of the page.
function copyButton(text) {
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

function showCommands(rows) {
  const commands = [...new Set(rows.map((row) => row.command ?? null))];
  byId("commands").replaceChildren(...commands.map((command) => {
    const made = rows.filter((row) => (row.command ?? null) === command);
    const stages = made.map((row) => {
      const best = row.best_epoch === null ? "" : `, best epoch ${row.best_epoch} of ${fixed(row.epochs, 0)}`;
      const state = row.finished ? "" : ", not finished";
      return el("li", {}, el("i", { class: `mark s${styleOf(row, rows)}`, "aria-hidden": true }), el("b", {}, row.label),
        el("span", { class: "quiet" }, ` ${duration(row.seconds)}${best}${state} `), el("code", {}, row.directory));
    });
    const line = command === null ? el("p", { class: "quiet" }, "Its command is not recorded.")
      : el("div", { class: "command" }, el("pre", { tabindex: 0, "aria-label": "Command" }, command), copyButton(command));
    return el("div", { class: "made" }, line, el("ul", {}, ...stages));
  }));
}

function settingsOf(number) {
  const { set, unset } = data.settings[number];
  const flat = number === 0 ? { ...set } : { ...data.settings[0].set, ...set };
  for (const key of unset) delete flat[key];
  return flat;
}

function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

const differing = new Set(data.settings.flatMap(({ set, unset }, number) => (number ? [...Object.keys(set), ...unset] : [])));

function drawSettings() {
  const number = byId("settings-of").value, words = byId("settings-filter").value.toLowerCase();
  const flat = number === "" ? {} : settingsOf(Number(number));
  const shown = Object.entries(flat).filter(([key, value]) => {
    const wanted = !byId("settings-differ").checked || differing.has(key);
    return wanted && `${key}=${written(value)}`.toLowerCase().includes(words);
  });
  byId("settings").replaceChildren(el("tbody", {}, ...shown.map(([key, value]) =>
    el("tr", { class: differing.has(key) ? "differs" : "" }, el("th", { scope: "row" }, key), el("td", {}, written(value))))));
}

function showSettings(rows) {
  const numbers = [...new Set(rows.map((row) => row.settings).filter((n) => n !== null))];
  const names = (n) => rows.filter((row) => row.settings === n).map((row) => row.label).join("; ");
  options(byId("settings-of"), numbers.map((n) => [n, names(n)]), numbers.at(-1));
  byId("configuration").hidden = !numbers.length;
  drawSettings();
}

function showExperiment(number) {
  const experiment = data.experiments[number];
  const rows = experiment.rows.map((row) => data.rows[row]), stages = rows.filter((row) => row.stage);
  byId("choice").value = number;
  byId("experiment-notes").replaceChildren(...experiment.notes.map((note) => el("li", {}, note)));
  showCharts(rows);
  showViewer(experiment.viewer ?? null);
  showCommands(stages);
  showSettings(stages);
}

function main() {
  setupTheme();
  const stages = data.rows.filter((row) => row.stage).length, sets = new Set(data.rows.map((row) => row.dataset));
  byId("summary").textContent = `${[...sets].join(", ")} \u00b7 ${data.experiments.length} experiment${data.experiments.length === 1 ? "" : "s"} \u00b7 ${stages} stages`;
  options(byId("choice"), data.experiments.map(({ title }, number) => [number, title]), 0);
  byId("choice").addEventListener("change", (event) => showExperiment(Number(event.target.value)));
  for (const [id, name] of [["settings-of", "change"], ["settings-filter", "input"], ["settings-differ", "change"]]) byId(id).addEventListener(name, drawSettings);
  byId("notes").hidden = !data.notes.length;
  byId("all-notes").replaceChildren(...data.notes.map((note) => el("li", {}, note)));
  setupTable(showExperiment);
  setupCharts();
  setupViewer();
  showExperiment(0);
}
