// Training curves and the scatter of students against their teacher.
const charts = { rows: [], hidden: new Set(), curve: "val/psnr", metric: "psnr", epoch: null, picked: -1 };

function legend(node, rows, valueOfRow, toggle) {
  node.replaceChildren(...rows.map((row) => {
    const number = styleOf(row, charts.rows);
    const line = svg("svg", { class: `key s${number}`, width: 26, height: 12, "aria-hidden": true },
      toggle ? svg("line", { x1: 1, x2: 25, y1: 6, y2: 6, "stroke-dasharray": DASHES[number] })
        : svg("path", { d: SHAPES[number], transform: "translate(13 6)" }));
    const value = el("span", { class: "value" }, valueOfRow(row));
    if (!toggle) return el("span", { class: "entry" }, line, row.label, value);
    const pressed = !charts.hidden.has(row.stage);
    const flip = () => { charts.hidden[pressed ? "add" : "delete"](row.stage); drawCurves(); };
    return el("button", { type: "button", class: "entry", "aria-pressed": String(pressed), onclick: flip }, line, row.label, value);
  }));
}

function curveAt(row, epoch) {
  const [epochs, values] = row.curves[charts.curve] ?? [[], []];
  if (!epochs.length) return null;
  if (epoch === null) return values[values.length - 1];
  const found = epochs.findIndex((other) => other >= epoch);
  return found < 0 ? null : values[found];
}

// A curve of many epochs is kept in fewer points, which is said where it is seen.
function thinnedNote(rows) {
  const thinned = rows.filter((row) => row.curves[charts.curve].length > 2).map((row) => {
    const [epochs, , total] = row.curves[charts.curve];
    return `${row.label}: curve shows ${epochs.length} of ${total} points`;
  });
  return thinned.length ? `${thinned.join("; ")}.` : "";
}

function drawCurves() {
  const box = byId("curves"), rows = charts.rows.filter((row) => row.curves[charts.curve]);
  const shown = rows.filter((row) => !charts.hidden.has(row.stage));
  const words = (row) => { const v = curveAt(row, charts.epoch); return v === null ? "\u2013" : short(v); };
  const focused = document.activeElement?.closest?.("#curves-legend")
    ? [...byId("curves-legend").children].indexOf(document.activeElement) : -1;
  legend(byId("curves-legend"), rows, words, true);
  byId("curves-legend").children[focused]?.focus();
  byId("curves-note").textContent = thinnedNote(shown);
  if (!rows.length) return empty(box, "No training curves are kept of this experiment (TensorBoard and CSV summaries are read).");
  if (!shown.length) return empty(box, "All curves are switched off.");
  const values = shown.flatMap((row) => row.curves[charts.curve][1]);
  const logY = !/psnr|ssim|vif/.test(charts.curve) && values.every((value) => value > 0);
  const last = Math.max(...shown.map((row) => row.curves[charts.curve][0].at(-1)));
  const title = `${charts.curve} over epochs: ${shown.map((row) => `${row.label} ends at ${short(curveAt(row, null))}`).join(", ")}`;
  const plot = frame(box, { x: [1, Math.max(2, last)], y: extent(values, logY), logY, xLabel: "epoch", yLabel: charts.curve, title });
  for (const row of shown) {
    const [epochs, ys] = row.curves[charts.curve], number = styleOf(row, charts.rows);
    const points = epochs.map((epoch, i) => `${plot.xs(epoch).toFixed(1)},${plot.ys(ys[i]).toFixed(1)}`);
    plot.marks.append(svg("polyline", { class: `curve s${number}`, points: points.join(" "), "stroke-dasharray": DASHES[number] }));
    if (row.best_epoch !== null && epochs.includes(row.best_epoch)) {
      const y = ys[epochs.indexOf(row.best_epoch)];
      plot.marks.append(svg("circle", { class: `best s${number}`, cx: plot.xs(row.best_epoch), cy: plot.ys(y), r: 3.5 }));
    }
  }
  if (charts.epoch !== null) {
    const x = plot.xs(clamp(charts.epoch, 1, last));
    plot.marks.append(svg("line", { class: "cursor", x1: x, x2: x, y1: plot.top, y2: plot.bottom }),
      svg("text", { class: "axis", x, y: plot.bottom + 30, "text-anchor": "middle" }, `epoch ${charts.epoch}`));
  }
  charts.epochAt = (x) => clamp(Math.round(1 + ((x - plot.left) / (plot.right - plot.left)) * (last - 1)), 1, last);
  charts.lastEpoch = last;
}

function scatterPoints() {
  const teacher = charts.rows.find((row) => row.stage === "teacher") ?? charts.rows.find((row) => /teacher/.test(row.stage ?? ""));
  if (!teacher) return [];
  return charts.rows.filter((row) => row.stage && row !== teacher).flatMap((row) =>
    Object.entries(row.volumes).flatMap(([volume, figures]) => {
      const x = teacher.volumes[volume]?.[charts.metric], y = figures[charts.metric];
      return x === undefined || y === undefined ? [] : [{ row, volume, x, y }];
    }));
}

function drawScatter() {
  const box = byId("scatter"), metric = data.metrics.find((m) => m.key === charts.metric);
  const points = scatterPoints(), rows = [...new Set(points.map((point) => point.row))];
  const picked = points[charts.picked];
  const difference = (row) => {
    const own = points.filter((point) => point.row === row);
    const shown = picked ? own.filter((point) => point.volume === picked.volume) : own;
    const d = mean(shown.map((point) => point.y - point.x));
    return d === null ? "" : `${d < 0 ? "\u2212" : "+"}${Math.abs(d).toFixed(metric.digits)}`;
  };
  legend(byId("scatter-legend"), rows, difference, false);
  if (rows.length) {
    const words = picked ? `volume ${picked.volume}, against its teacher` : "mean difference from the teacher";
    byId("scatter-legend").append(el("span", { class: "entry note" }, words));
  }
  if (!points.length) return empty(box, "No volume was measured with both a teacher and a student.");
  const range = extent(points.flatMap((point) => [point.x, point.y]), false);
  const title = `${metric.label} of each volume, students against the teacher: ${rows.map((row) => `${row.label} ${difference(row)} on average`).join(", ")}`;
  const plot = frame(box, { x: range, y: range, xLabel: `teacher, ${metric.label}`, yLabel: `student, ${metric.label}`, title });
  plot.marks.append(svg("line", { class: "even", x1: plot.xs(range[0]), y1: plot.ys(range[0]), x2: plot.xs(range[1]), y2: plot.ys(range[1]) }));
  for (const [number, point] of points.entries()) {
    const style = styleOf(point.row, charts.rows);
    plot.marks.append(svg("path", { class: `point s${style}${number === charts.picked ? " picked" : ""}`, d: SHAPES[style], transform: `translate(${plot.xs(point.x).toFixed(1)} ${plot.ys(point.y).toFixed(1)})` },
      svg("title", {}, `${point.row.label}, volume ${point.volume}: ${fixed(point.y, metric.digits)}, teacher ${fixed(point.x, metric.digits)}`)));
  }
  charts.nearest = (x, y) => {
    const far = points.map((point) => (plot.xs(point.x) - x) ** 2 + (plot.ys(point.y) - y) ** 2);
    const least = far.indexOf(Math.min(...far));
    return far[least] < 900 ? least : -1;
  };
  charts.points = points.length;
}

function setupCharts() {
  const curves = byId("curves"), scatter = byId("scatter");
  const at = (box, event) => { const r = box.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  const setEpoch = (epoch) => { if (epoch !== charts.epoch) { charts.epoch = epoch; drawCurves(); } };
  const setPicked = (picked) => { if (picked !== charts.picked) { charts.picked = picked; drawScatter(); } };
  curves.addEventListener("pointermove", (event) => charts.epochAt && setEpoch(charts.epochAt(at(curves, event)[0])));
  curves.addEventListener("pointerleave", () => setEpoch(null));
  curves.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !charts.lastEpoch) return;
    event.preventDefault();
    setEpoch(clamp((charts.epoch ?? charts.lastEpoch) + step, 1, charts.lastEpoch));
  });
  scatter.addEventListener("pointermove", (event) => charts.nearest && setPicked(charts.nearest(...at(scatter, event))));
  scatter.addEventListener("pointerleave", () => setPicked(-1));
  scatter.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !charts.points) return;
    event.preventDefault();
    setPicked((charts.picked + step + charts.points) % charts.points);
  });
  byId("curve").addEventListener("change", (event) => { charts.curve = event.target.value; drawCurves(); });
  byId("scatter-metric").addEventListener("change", (event) => { charts.metric = event.target.value; drawScatter(); });
  redrawn(curves, drawCurves);
  redrawn(scatter, drawScatter);
}

function showCharts(rows) {
  // What is not measured, such as a student whose last layers are not trained yet, would flatten the rest.
  const hidden = rows.filter((row) => row.reported === false).map((row) => row.stage);
  Object.assign(charts, { rows: rows.filter((row) => row.stage), hidden: new Set(hidden), epoch: null, picked: -1, epochAt: null, nearest: null, lastEpoch: 0, points: 0 });
  const names = [...new Set(charts.rows.flatMap((row) => Object.keys(row.curves)))];
  const first = ["val/psnr", "val/ssim", "val/nmse", "val/l1"];
  names.sort((a, b) => (first.indexOf(a) + 1 || 9) - (first.indexOf(b) + 1 || 9) || (b.startsWith("val") - a.startsWith("val")) || a.localeCompare(b));
  if (!names.includes(charts.curve)) charts.curve = names[0] ?? "val/psnr";
  options(byId("curve"), names.map((name) => [name, name]), charts.curve);
  const keys = data.metrics.filter(({ key }) => charts.rows.some((row) => row.measures[key]));
  if (keys.length && !keys.some(({ key }) => key === charts.metric)) charts.metric = keys[0].key;
  options(byId("scatter-metric"), keys.map(({ key, label }) => [key, label]), charts.metric);
  drawCurves();
  drawScatter();
}
