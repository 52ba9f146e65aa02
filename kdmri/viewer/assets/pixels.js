// Decodes stored slices and paints them through window, level and error scale.
const STEPS = 127, MIDDLE = 128;
const ERROR = Float32Array.from({ length: 256 }, (_, code) => {
  const steps = code - MIDDLE;
  return Math.sign(steps) * (Math.abs(steps) / STEPS) ** 1.5;
});
const COLOURS = Uint8Array.from(atob(data.colours), (sign) => sign.charCodeAt(0));
const kept = new Map();
const KEPT = 16;

async function decode(number, viewer) {
  const image = new Image();
  image.src = `data:image/webp;base64,${byId(`strip-${number}`).textContent}`;
  await image.decode();
  const [height, width] = viewer.size;
  const canvas = el("canvas", { width: image.naturalWidth, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const images = viewer.panes.map((_, pane) => {
    const { data: pixels } = context.getImageData(pane * width, 0, width, height);
    return Uint8Array.from({ length: width * height }, (_, i) => pixels[4 * i]);
  });
  if (!viewer.target) return images.map((codes) => ({ image: Float32Array.from(codes, (c) => c / 255), error: null }));
  const target = Float32Array.from(images[0], (code) => code / 255);
  return images.map((codes, pane) => {
    if (pane === 0) return { image: target, error: null };
    const error = Float32Array.from(codes, (code) => ERROR[code]);
    return { image: target.map((value, i) => value + error[i]), error };
  });
}

// Gives the panes of a slice; the last few stay decoded.
function decoded(number, viewer) {
  if (!kept.has(number)) {
    kept.set(number, decode(number, viewer));
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }
  return kept.get(number);
}

function paintImage(canvas, values, window, level) {
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
  const low = level - window / 2, factor = 255 / window;
  for (let i = 0; i < values.length; i += 1) {
    const grey = (values[i] - low) * factor;
    pixels.data[4 * i] = pixels.data[4 * i + 1] = pixels.data[4 * i + 2] = grey;
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

function paintError(canvas, values, limit) {
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; i += 1) {
    const colour = 3 * Math.min(255, Math.round((Math.abs(values[i]) / limit) * 255));
    for (let c = 0; c < 3; c += 1) pixels.data[4 * i + c] = COLOURS[colour + c];
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}
