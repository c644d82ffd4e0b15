// The strip of images of the session: thumbnails with the number of their detections.

import { $, element, plural } from "./dom.js";
import { clear, isStale, remove, select, shown, thumbnail } from "./images.js";
import { state, subscribe } from "./state.js";
import { offer } from "./undo.js";

const tiles = new Map(); // by the id of the item

// Decoding takes 100 MB for a large image: one after the other.
let last = Promise.resolve();
const inTurn = (run) => { last = last.then(run, run); return last; };

function draw() {
  for (const [id, tile] of tiles) if (!state.items.some((item) => item.id === id)) tile.remove(), tiles.delete(id);
  for (const item of state.items) if (!tiles.has(item.id)) tiles.set(item.id, $("gallery").appendChild(tile(item)));
  $("strip").hidden = state.items.length === 0;
  count();
}

function tile(item) {
  const open = element("button", { type: "button", className: "open" }, element("span", { className: "badge" }));
  const close = element("button", { type: "button", className: "close", textContent: "×", ariaLabel: `Remove ${item.name}` });
  open.addEventListener("click", () => select(item));
  close.addEventListener("click", () => remove(item));
  const made = element("li", { title: item.name }, open, close);
  inTurn(() => tiles.has(item.id) && thumbnail(item)).then((canvas) => canvas && open.prepend(canvas), () => {}); // a broken file has none
  return made;
}

function count() {
  for (const item of state.items) {
    const [open] = tiles.get(item.id).children;
    const number = shown(item).length;
    open.ariaCurrent = String(item === state.selected);
    open.className = `open ${item.status}`;
    open.classList.toggle("stale", isStale(item)); // counted with other options
    open.querySelector(".badge").textContent = { loading: "…", waiting: "…", failed: "!" }[item.status] ?? number;
    open.ariaLabel = `${item.name}: ${item.status === "done" ? plural(number, "detection") : item.status}`;
  }
  tiles.get(state.selected?.id)?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
}

$("clear").addEventListener("click", ({ currentTarget }) => {
  const text = `${plural(state.items.length, "image")} removed.`;
  offer(currentTarget, text, clear());
});
subscribe(["items"], draw);
subscribe(["selected", "changed", "model", "version", "score", "iou", "nms", "classes"], count);
