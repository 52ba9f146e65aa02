// Axes and ticks of a chart in its box; redrawn when the box changes its width.
const MARGIN = { left: 52, right: 14, top: 24, bottom: 36 };

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const n of [1, 2, 5]) if (n * 10 ** power >= low && n * 10 ** power <= high) found.push(n * 10 ** power);
  }
  return found.length > 1 ? found : [low, high];
}

function scale(low, high, from, to, log) {
  const f = log ? Math.log : (v) => v;
  return (value) => from + ((f(value) - f(low)) / (f(high) - f(low))) * (to - from);
}

function short(value) {
  return String(Number(value.toPrecision(4)));
}

function extent(values, log) {
  let low = Math.min(...values), high = Math.max(...values);
  if (log) return low === high ? [low / 1.1, high * 1.1] : [low, high];
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - pad, high + pad];
}

// Draws the frame of a chart; returns the SVG, a group for its marks, and both scales.
function frame(box, { x, y, xLabel, yLabel, logY = false, title }) {
  const width = Math.max(240, box.clientWidth), height = Math.max(160, box.clientHeight);
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const xs = scale(x[0], x[1], MARGIN.left, right, false), ys = scale(y[0], y[1], bottom, MARGIN.top, logY);
  const grid = svg("g", { class: "grid" });
  for (const value of ticks(x[0], x[1], clamp(Math.round(width / 90), 4, 9))) {
    grid.append(svg("text", { x: xs(value), y: bottom + 16, "text-anchor": "middle" }, short(value)));
  }
  for (const value of logY ? logTicks(y[0], y[1]) : ticks(y[0], y[1], 5)) {
    grid.append(
      svg("line", { x1: MARGIN.left, x2: right, y1: ys(value), y2: ys(value) }),
      svg("text", { x: MARGIN.left - 7, y: ys(value) + 4, "text-anchor": "end" }, short(value)),
    );
  }
  grid.append(
    svg("text", { class: "axis", x: right, y: height - 4, "text-anchor": "end" }, xLabel),
    svg("text", { class: "axis", x: MARGIN.left, y: 12 }, yLabel),
  );
  const marks = svg("g", { class: "marks" });
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, grid, marks);
  box.replaceChildren(picture);
  return { picture, marks, xs, ys, left: MARGIN.left, right, top: MARGIN.top, bottom };
}

function empty(box, words) {
  box.replaceChildren(el("p", { class: "nothing" }, words));
}

function redrawn(box, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) { width = box.clientWidth; draw(); }
  }).observe(box);
}
