// The table of detections: sorted by a column, its rows linked with the boxes of a view.

import { classColor, css } from "./colors.js";
import { $, element } from "./dom.js";

const COLUMNS = {
  label: (a, b) => a.label.localeCompare(b.label) || b.score - a.score,
  score: (a, b) => b.score - a.score,
  position: (a, b) => a.box[1] - b.box[1] || a.box[0] - b.box[0], // from top to bottom
  size: (a, b) => area(b) - area(a),
};
const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
const sorting = { column: "score", reversed: false };
let render = () => {};
let onHover = () => {};
let onSelect = () => {};

// Call `hover` with the id of a detection or null, and `select` with an id. `sorted` draws the table again.
export function connect({ hover, select, sorted }) {
  [onHover, onSelect, render] = [hover, select, sorted];
  for (const button of document.querySelectorAll("#table th button")) button.addEventListener("click", () => sort(button.dataset.column));
  const rows = $("rows");
  rows.addEventListener("keydown", move);
  rows.addEventListener("pointerover", ({ target }) => onHover(idOf(target)));
  rows.addEventListener("pointerleave", () => onHover(null));
  rows.addEventListener("focusin", ({ target }) => onHover(idOf(target)));
  rows.addEventListener("focusout", () => onHover(null));
  rows.addEventListener("click", ({ target }) => onSelect(idOf(target)));
}

// Fill the table. The id of a detection is its index.
export function fill(detections) {
  const order = detections.map((d, id) => ({ d, id })).sort((a, b) => COLUMNS[sorting.column](a.d, b.d));
  if (sorting.reversed) order.reverse();
  $("rows").replaceChildren(...order.map(({ d, id }, i) => row(d, id, i === 0)));
  for (const button of document.querySelectorAll("#table th button")) {
    const chosen = button.dataset.column === sorting.column;
    button.parentElement.ariaSort = chosen ? (ascending() ? "ascending" : "descending") : "none";
  }
}

// Mark the row of a detection. `scroll` brings it into view.
export function mark(id, selected, scroll = false) {
  for (const row of $("rows").children) {
    row.classList.toggle("lit", Number(row.dataset.id) === id);
    row.ariaSelected = String(Number(row.dataset.id) === selected);
    if (scroll && Number(row.dataset.id) === id) row.scrollIntoView({ block: "nearest" });
  }
}

const ascending = () => ["label", "position"].includes(sorting.column) !== sorting.reversed;
const idOf = (target) => (target.closest("tr") ? Number(target.closest("tr").dataset.id) : null);

function sort(column) {
  sorting.reversed = sorting.column === column && !sorting.reversed;
  sorting.column = column;
  render();
}

function row(d, id, first) {
  const [x1, y1, x2, y2] = d.box.map(Math.round);
  const swatch = element("i", { className: "swatch" });
  swatch.style.background = css(classColor(d.class_id));
  const texts = [d.score.toFixed(3), `${x1}, ${y1}`, `${x2 - x1} × ${y2 - y1}`];
  const label = element("td", {}, swatch, element("bdi", { textContent: d.label }));
  const made = element("tr", { tabIndex: first ? 0 : -1 }, label, ...texts.map((textContent) => element("td", { textContent })));
  made.dataset.id = id;
  return made;
}

// Arrow keys move the focus between rows, Enter selects.
function move(event) {
  const current = event.target.closest("tr");
  const rows = [...$("rows").children];
  const to = { ArrowDown: 1, ArrowUp: -1, Home: -rows.length, End: rows.length }[event.key];
  if (event.key === "Enter" || event.key === " ") onSelect(idOf(current));
  else if (!to) return;
  else {
    const next = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(current) + to))];
    current.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  event.preventDefault();
}
