// Lists of tabs: a click or an arrow key chooses.

// Call `chosen` with the id of the panel. Returns a function that chooses a panel.
export function tabs(list, chosen = () => {}) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const other of all) {
      other.ariaSelected = String(other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
    chosen(tab.getAttribute("aria-controls"));
  };
  list.addEventListener("click", ({ target }) => { if (all.includes(target)) choose(target); });
  list.addEventListener("keydown", ({ key, target }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = all.at((all.indexOf(target) + step) % all.length);
    choose(next);
    next.focus();
  });
  return (panel) => choose(all.find((tab) => tab.getAttribute("aria-controls") === panel) ?? all[0]);
}
