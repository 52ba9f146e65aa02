// The slice viewer: one slider, panes that zoom and move together, window and level by mouse.
const view = { viewer: null, at: 0, window: 1, level: 0.5, limit: 0.1, zoom: 1, x: 0, y: 0, panes: [], values: [] };

function buildPanes() {
  const { viewer } = view, [height, width] = viewer.size;
  const canvas = (kind, label) => {
    const node = el("canvas", { width, height, role: "img", "aria-label": `${kind} ${label}` });
    return { canvas: node, frame: el("div", { class: `frame ${kind}` }, node) };
  };
  view.panes = viewer.panes.map((label, number) => {
    const image = canvas("image", label), isTarget = viewer.target && number === 0;
    const error = viewer.target && !isTarget ? canvas("error", `map of ${label}`) : null;
    const figures = el("span", { class: "figures" }), value = el("span", { class: "value" });
    const caption = el("figcaption", {}, el("span", { class: "name" }, label), value, figures);
    const frames = [image.frame, error ? error.frame : null, isTarget ? colourBar(width, height) : null];
    return { image, error, figures, value, node: el("figure", { class: "pane" }, caption, ...frames) };
  });
  byId("panes").style.setProperty("--ratio", `${width} / ${height * viewer.aspect}`);
  byId("panes").style.setProperty("--count", view.panes.length);
  byId("panes").classList.toggle("plain", !viewer.target);
  byId("panes").replaceChildren(...view.panes.map((pane) => pane.node));
}

function colourBar() {
  const bar = el("canvas", { width: 256, height: 1, class: "bar", "aria-hidden": true });
  paintError(bar, Float32Array.from({ length: 256 }, (_, i) => i / 255), 1);
  const ends = el("span", { class: "ends" }, el("span", {}, "0"), el("span", { id: "bar-end" }));
  return el("div", { class: "scale" }, el("span", {}, "|image \u2212 target|"), bar, ends, el("span", { class: "quiet" }, "of the volume\u2019s largest target value"));
}

function paint() {
  byId("window-value").textContent = view.window.toFixed(2);
  byId("level-value").textContent = view.level.toFixed(2);
  byId("limit-value").textContent = view.limit.toFixed(3);
  byId("zoom-value").textContent = `${view.zoom.toFixed(1)}\u00d7`;
  for (const [id, key] of [["window", "window"], ["level", "level"], ["limit", "limit"]]) byId(id).value = view[key];
  if (byId("bar-end")) byId("bar-end").textContent = view.limit.toFixed(3);
  view.values.forEach(({ image, error }, number) => {
    paintImage(view.panes[number].image.canvas, image, view.window, view.level);
    if (error) paintError(view.panes[number].error.canvas, error, view.limit);
  });
}

let due = false;
function repaint() {
  if (!due) requestAnimationFrame(() => { due = false; paint(); });
  due = true;
}

function place() {
  const style = byId("panes").style;
  view.x = clamp(view.x, 1 - view.zoom, 0);
  view.y = clamp(view.y, 1 - view.zoom, 0);
  for (const key of ["zoom", "x", "y"]) style.setProperty(`--${key}`, view[key]);
  byId("panes").classList.toggle("zoomed", view.zoom > 1);
  byId("panes").classList.toggle("near", view.zoom >= 3);
  byId("zoom-value").textContent = `${view.zoom.toFixed(1)}\u00d7`;
}

// Zooms by a factor about a point, which is given in shares of a frame's width and height.
function zoomBy(factor, u = 0.5, v = 0.5) {
  const zoom = clamp(view.zoom * factor, 1, 16), grown = zoom / view.zoom;
  Object.assign(view, { zoom, x: u - (u - view.x) * grown, y: v - (v - view.y) * grown });
  place();
}

async function showSlice(number) {
  const { viewer } = view, last = viewer.strips.length - 1;
  view.at = clamp(number, 0, last);
  const at = view.at, [volume, index, total, psnr, ssim] = viewer.strips[at];
  const words = `volume ${volume}, slice ${index + 1} of ${total}`;
  byId("slice").value = at;
  byId("slice").setAttribute("aria-valuetext", words);
  byId("volume").value = volume;
  byId("place").textContent = words;
  const values = await decoded(viewer.first + at, viewer);
  if (view.viewer !== viewer || view.at !== at) return;
  view.values = values;
  view.panes.forEach((pane, n) => {
    const figures = psnr[n] === null ? "" : `${psnr[n].toFixed(2)} dB  ${fixed(ssim[n], 4)}`;
    pane.figures.textContent = figures || "\u00a0";
    pane.value.textContent = "";
  });
  paint();
  byId("panes").dataset.slice = String(at);
  if (at < last) decoded(viewer.first + at + 1, viewer);
  if (at > 0) decoded(viewer.first + at - 1, viewer);
}

function reset() {
  Object.assign(view, { window: 1, level: 0.5, limit: view.viewer.limit, zoom: 1, x: 0, y: 0 });
  place();
  repaint();
}

function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !view.viewer) return;
  const move = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, PageUp: -5, PageDown: 5, Home: -Infinity, End: Infinity }[event.key];
  if (event.shiftKey && move) {
    view.x += move[0] * 0.1;
    view.y += move[1] * 0.1;
    place();
  } else if (step) showSlice(view.at + step);
  else if (event.key === "+" || event.key === "=") zoomBy(1.25);
  else if (event.key === "-") zoomBy(0.8);
  else if (event.key === "0") reset();
  else if (event.key === "[" || event.key === "]") {
    view.window = clamp(view.window * (event.key === "[" ? 0.9 : 1 / 0.9), 0.02, 2);
    repaint();
  } else return;
  event.preventDefault();
}

function readOut(frame, event) {
  const r = frame.getBoundingClientRect(), [height, width] = view.viewer.size;
  const u = ((event.clientX - r.left) / r.width - view.x) / view.zoom;
  const v = ((event.clientY - r.top) / r.height - view.y) / view.zoom;
  const pixel = Math.floor(clamp(v, 0, 0.9999) * height) * width + Math.floor(clamp(u, 0, 0.9999) * width);
  view.values.forEach(({ image }, n) => { view.panes[n].value.textContent = image[pixel].toFixed(3); });
}

function setupPointers(panes) {
  const down = new Map();
  const frameOf = (event) => event.target.closest(".frame");
  const share = (frame, point) => { const r = frame.getBoundingClientRect(); return [(point.clientX - r.left) / r.width, (point.clientY - r.top) / r.height]; };
  panes.addEventListener("contextmenu", (event) => { if (frameOf(event)) event.preventDefault(); });
  panes.addEventListener("wheel", (event) => {
    const frame = frameOf(event);
    if (!frame || !(event.ctrlKey || panes.contains(document.activeElement))) return;
    event.preventDefault();
    zoomBy(1.0015 ** -event.deltaY, ...share(frame, event));
  }, { passive: false });
  panes.addEventListener("pointerdown", (event) => {
    const frame = frameOf(event);
    if (!frame) return;
    down.set(event.pointerId, { frame, clientX: event.clientX, clientY: event.clientY, move: event.button === 2 || event.shiftKey });
    frame.setPointerCapture(event.pointerId);
    panes.focus({ preventScroll: true });
  });
  panes.addEventListener("pointermove", (event) => {
    const start = down.get(event.pointerId), frame = frameOf(event);
    if (!start) { if (frame && event.pointerType === "mouse" && view.values.length) readOut(frame, event); return; }
    const box = start.frame.getBoundingClientRect();
    const dx = (event.clientX - start.clientX) / box.width, dy = (event.clientY - start.clientY) / box.height;
    if (down.size === 2) {
      const other = [...down].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(start.clientX - other.clientX, start.clientY - other.clientY);
      const after = Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY);
      if (before > 0) zoomBy(after / before, ...share(start.frame, other));
    } else if (start.move || event.pointerType === "touch") {
      view.x += dx;
      view.y += dy;
      place();
    } else if (start.frame.classList.contains("error")) {
      view.limit = clamp(view.limit * 4 ** dx, 0.005, 0.5);
      repaint();
    } else {
      view.window = clamp(view.window + dx, 0.02, 2);
      view.level = clamp(view.level + dy, 0, 1);
      repaint();
    }
    Object.assign(start, { clientX: event.clientX, clientY: event.clientY });
  });
  for (const name of ["pointerup", "pointercancel"]) panes.addEventListener(name, (event) => down.delete(event.pointerId));
  panes.addEventListener("pointerleave", () => view.panes.forEach((pane) => { pane.value.textContent = ""; }));
  panes.addEventListener("dblclick", reset);
}

function setupViewer() {
  for (const key of ["window", "level", "limit"]) {
    byId(key).addEventListener("input", (event) => { view[key] = Number(event.target.value); repaint(); });
  }
  byId("slice").addEventListener("input", (event) => showSlice(Number(event.target.value)));
  byId("volume").addEventListener("change", (event) => {
    showSlice(view.viewer.strips.findIndex(([volume]) => volume === event.target.value));
  });
  byId("zoom-in").addEventListener("click", () => zoomBy(1.25));
  byId("zoom-out").addEventListener("click", () => zoomBy(0.8));
  byId("reset").addEventListener("click", reset);
  byId("panes").addEventListener("keydown", keyed);
  setupPointers(byId("panes"));
}

function showViewer(viewer) {
  Object.assign(view, { viewer, values: [] });
  byId("viewer").hidden = !viewer;
  if (!viewer) return;
  kept.clear();
  buildPanes();
  byId("slice").max = viewer.strips.length - 1;
  byId("limit-label").hidden = !viewer.target;
  const names = [...new Set(viewer.strips.map(([volume]) => volume))];
  options(byId("volume"), names.map((name) => [name, name]), names[0]);
  const part = viewer.strips.length < viewer.slices ? `${viewer.strips.length} of ${viewer.slices} slices are kept here` : `all ${viewer.slices} slices`;
  const size = viewer.reduction > 1 ? `, ${viewer.reduction} times smaller along each axis` : "";
  byId("coding").textContent = `Pictures: ${part}${size}; 8 bits, error maps finest near zero. Figures are of the whole slice as it was measured, not of the picture.`;
  reset();
  showSlice(Math.floor(viewer.strips.filter(([volume]) => volume === names[0]).length / 2));
}
