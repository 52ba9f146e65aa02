// The button that chooses light or dark.
function setupTheme() {
  const names = ["system", "light", "dark"], button = byId("theme");
  let kept = null;
  try { kept = localStorage.getItem("kdmri-theme"); } catch { /* a browser may keep nothing of a file */ }
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    try { localStorage.setItem("kdmri-theme", name); } catch { /* as above */ }
  };
  set(names.includes(kept) ? kept : "system");
  button.addEventListener("click", () => set(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
}
