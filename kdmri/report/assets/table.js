// The comparison table: sorted by any column, filtered by words, averaged over seeds.
const COLUMNS = [
  { key: "label", label: "Stage", head: true },
  { key: "dataset", label: "Data set" },
  { key: "task", label: "Task" },
  { key: "run", label: "Experiment" },
  { key: "seed", label: "Seed", number: true },
  { key: "parameters", label: "Parameters", number: true },
  ...data.metrics.map((metric) => ({ ...metric, metric: true, number: true, label: metric.label })),
  { key: "gap", label: "Gap", number: true, higher: true },
  { key: "epochs", label: "Epochs", number: true },
  { key: "seconds", label: "Time", number: true },
];
const LONG = 24; // letters of a cell that may take several lines, so that figures stay in sight
const sorting = { column: null, up: true };

function valueOf(row, column) {
  if (column.metric) return row.measures[column.key] ? row.measures[column.key][0] : null;
  return row[column.key];
}

function mean(values) {
  const there = values.filter((value) => value !== null && value !== undefined);
  return there.length ? there.reduce((sum, value) => sum + value, 0) / there.length : null;
}

function spread(values) {
  const middle = mean(values);
  const squares = values.map((value) => (value - middle) ** 2);
  return values.length > 1 ? Math.sqrt(mean(squares) * values.length / (values.length - 1)) : null;
}

function averaged(rows) {
  const groups = Map.groupBy ? Map.groupBy(rows, (row) => row.recipe) : new Map();
  if (!Map.groupBy) for (const row of rows) groups.set(row.recipe, [...(groups.get(row.recipe) ?? []), row]);
  return [...groups.values()].map((group) => {
    if (group.length === 1) return group[0];
    const measures = {};
    for (const { key } of data.metrics) {
      const means = group.filter((row) => row.measures[key]).map((row) => row.measures[key][0]);
      if (means.length) measures[key] = [mean(means), spread(means)];
    }
    const over = (key) => mean(group.map((row) => row[key]));
    const seed = group[0].baseline ? null : `${group.length} seeds`;
    return { ...group[0], measures, seed, gap: over("gap"), gap_interval: null, seconds: over("seconds") };
  });
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sorted(rows) {
  const { column, up } = sorting;
  if (!column) return rows;
  const missing = (row) => valueOf(row, column) === null || valueOf(row, column) === undefined;
  return [...rows].sort((a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = compare(valueOf(a, column), valueOf(b, column));
    return up ? order : -order;
  });
}

function cell(row, column) {
  const value = valueOf(row, column);
  if (column.metric) {
    const deviation = column.spread && row.measures[column.key] ? row.measures[column.key][1] : null;
    return fixed(value, column.digits) + (deviation === null ? "" : ` \u00b1 ${fixed(deviation, column.digits)}`);
  }
  if (value === null || value === undefined) return "\u2013";
  if (column.key === "gap") return `${percent(value)} %${intervalOf(row.gap_interval)}`;
  if (column.key === "parameters") return value.toLocaleString("en");
  if (column.key === "seconds") return duration(value);
  if (column.key === "label" && row.stage && !row.finished) return `${value} (not finished)`;
  return String(value);
}

function percent(share) {
  return (100 * share).toFixed(0);
}

// The 95 % interval of a gap as tables write it: none of the gap's own ends and of means over seeds.
function intervalOf(interval) {
  if (!interval) return "";
  return interval.length ? ` (${interval.map(percent).join(" to ")})` : " (unsure)";
}

function bodyRow(row, choose) {
  const cells = COLUMNS.map((column) => {
    const shown = cell(row, column);
    if (column.head) {
      const mark = row.stage ? el("i", { class: `mark s${styleOf(row, [row])}`, "aria-hidden": true }) : null;
      return el("th", { scope: "row" }, mark ?? el("i", { class: "mark" }), shown);
    }
    const kind = column.number ? "number" : shown.length > LONG ? "long" : "";
    const text = shown.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
    if (column.key !== "run") return el("td", { class: kind }, ...text);
    const number = data.experiments.findIndex((experiment) => experiment.rows.includes(data.rows.indexOf(row)));
    if (number < 0) return el("td", { class: kind }, ...text);
    return el("td", { class: kind }, el("a", { href: "#experiment", onclick: () => choose(number) }, ...text));
  });
  return el("tr", { class: row.baseline ? "baseline" : "" }, ...cells);
}

function setupTable(choose) {
  const table = byId("comparison"), body = el("tbody");
  const draw = () => {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = byId("average").checked ? averaged(data.rows) : data.rows;
    rows = rows.filter((row) => {
      const text = [row.label, row.stage, row.dataset, row.task, row.run, `seed ${row.seed}`].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    body.replaceChildren(...sorted(rows).map((row) => bodyRow(row, choose)));
    if (!rows.length) body.append(el("tr", {}, el("td", { colspan: COLUMNS.length }, "No row has these words.")));
    for (const [number, column] of COLUMNS.entries()) {
      const used = sorting.column === column;
      heads[number].setAttribute("aria-sort", used ? (sorting.up ? "ascending" : "descending") : "none");
    }
    const over = byId("average").checked ? "seeds, each the mean over its volumes" : "volumes";
    byId("comparison-note").textContent =
      `Mean over ${over}, \u00b1 one standard deviation. Gap: share of the mean PSNR between student and teacher that is recovered${byId("average").checked ? ", mean over seeds" : ", with its 95 % interval"}.`;
  };
  const heads = COLUMNS.map((column) => {
    const sort = () => {
      if (sorting.column === column) sorting.up = !sorting.up;
      else Object.assign(sorting, { column, up: !column.higher });
      draw();
    };
    const button = el("button", { type: "button", onclick: sort }, column.label, el("span", { class: "arrow", "aria-hidden": true }));
    return el("th", { scope: "col", class: column.number ? "number" : "" }, button);
  });
  table.replaceChildren(el("thead", {}, el("tr", {}, ...heads)), body);
  byId("filter").addEventListener("input", draw);
  byId("average").addEventListener("change", draw);
  byId("average-label").hidden = new Set(data.rows.map((row) => row.seed).filter((seed) => seed !== null)).size < 2;
  draw();
}
