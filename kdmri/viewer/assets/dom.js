// Small helpers. Every text of the data reaches the page as a text node, never as markup.
const data = JSON.parse(document.getElementById("values").textContent);
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.setAttribute("class", value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, label]) => el("option", { value }, label)));
  if (entries.some(([value]) => String(value) === String(chosen))) select.value = chosen;
}

function fixed(value, digits) {
  return value === null || value === undefined ? "\u2013" : value.toFixed(digits);
}

function duration(seconds) {
  if (seconds === null) return "\u2013";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// A stage keeps its colour and shape throughout the page.
const KNOWN = ["teacher", "student", "student_long", "kd", "feature"];
function styleOf(row, rows) {
  const known = KNOWN.indexOf(row.stage);
  if (known >= 0) return known;
  const others = rows.filter((other) => other.stage && !KNOWN.includes(other.stage));
  return KNOWN.length + (others.indexOf(row) % 3);
}
const DASHES = ["", "", "7 4", "", "2 4", "9 3 2 3", "5 3", "1 4"];
const SHAPES = [
  "M-4-4H4V4H-4Z", "M0-5A5 5 0 1 0 0 5A5 5 0 1 0 0-5Z", "M0-5.5L5 4H-5Z", "M0-6L6 0 0 6-6 0Z",
  "M-5-2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z", "M0 5.5L5-4H-5Z", "M-4-4H4V4H-4Z", "M0-5A5 5 0 1 0 0 5A5 5 0 1 0 0-5Z",
];
