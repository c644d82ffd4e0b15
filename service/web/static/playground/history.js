// The requests of the session: a click shows the image again with the options and the detections of that time.

import { $, element, plural } from "./dom.js";
import { shown, take } from "./images.js";
import { reference, state, subscribe, update } from "./state.js";
import { offer } from "./undo.js";

const MAX_ENTRIES = 100;
const OPTIONS = ["model", "version", "score", "iou", "nms", "classes"];
let entries = [];

function remember() {
  const item = state.changed;
  if (item.status !== "done" || entries.some((entry) => entry.answer === item.answer)) return;
  const options = Object.fromEntries(OPTIONS.map((name) => [name, state[name]]));
  replace([{ item, options, key: item.key, answer: item.answer, count: shown(item).length, at: new Date(), name: reference() }, ...entries].slice(0, MAX_ENTRIES));
}

function replace(list) {
  entries = list;
  $("no-history").hidden = entries.length > 0;
  $("forget").hidden = !entries.length;
  $("past").replaceChildren(...entries.map((entry) => element("li", {}, line(entry))));
}

function line(entry) {
  const { item, answer, at, options } = entry;
  const settings = [options.iou !== null && `IoU ${options.iou}`, options.nms && options.nms.toUpperCase()].filter(Boolean);
  const facts = [`${answer.model.name} ${answer.model.version}`, ...settings, `${Math.round(answer.timing_ms.total)} ms`];
  const button = element("button", { type: "button" },
    element("time", { textContent: at.toLocaleTimeString("en", { hour12: false }) }),
    element("bdi", { textContent: item.name }),
    element("small", { textContent: `${plural(entry.count, "detection")} · ${facts.join(" · ")}` }));
  button.addEventListener("click", () => restore(entry));
  return button;
}

function restore({ item, options, key, answer }) {
  take(item, answer, key);
  const items = state.items.includes(item) ? state.items : [...state.items, item];
  update({ ...options, items, selected: item }); // at once: the options of then are not for the image of now
}

$("forget").addEventListener("click", ({ currentTarget }) => {
  const old = entries;
  replace([]);
  offer(currentTarget, `${plural(old.length, "request")} removed.`, () => replace([...entries, ...old].slice(0, MAX_ENTRIES)));
});
subscribe(["changed"], remember);
