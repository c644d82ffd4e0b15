// The selected image and its detections: view, table, classes, times, programs and downloads.

import { key } from "./api.js";
import { classColor, css } from "./colors.js";
import { $, element, plural } from "./dom.js";
import { save, toCoco, toCsv, toJson, toImage } from "./downloads.js";
import { freshen, loadBitmap, shown } from "./images.js";
import { toShapes } from "./paint.js";
import { SNIPPETS } from "./snippets.js";
import { isShown, minScore, query, reference, state, subscribe, threshold, update } from "./state.js";
import * as table from "./table.js";
import { View } from "./view.js";

const PHONE = matchMedia("(max-width: 46rem)"); // there, the image is below the settings
const STAGES = ["decode", "queue", "infer", "rest"];
let detections = []; // those shown
let selected = null; // the id of one of them
let drawnItem = null;

export const view = new View($("view"), {
  hover: (id) => highlight(id, false),
  select: (id) => choose(id),
  drawn: ({ hidden, zoom }) => {
    $("zoom").textContent = `${Math.round(100 * zoom)}%`;
    $("hidden-labels").textContent = hidden ? `${plural(hidden, "label")} hidden` : "";
  },
});
table.connect({ hover: (id) => highlight(id, true), select: (id) => { choose(id); view.reveal(id); }, sorted: () => render() });

function highlight(id, fromTable) {
  const lit = id ?? selected;
  view.set({ lit });
  table.mark(lit, selected, false);
  if (!fromTable) view.canvas.style.cursor = id === null ? "" : "pointer";
}

function choose(id) {
  selected = id === selected ? null : id;
  view.set({ lit: selected });
  table.mark(selected, selected, true);
}

async function showImage() {
  const item = state.selected;
  if (item === drawnItem) return;
  drawnItem = item;
  selected = null;
  $("empty").hidden = item !== null;
  if (item && PHONE.matches) $("message").scrollIntoView();
  view.draw([]);
  if (!item) return $("problem").hidden = true, view.show(null);
  const bitmap = await loadBitmap(item).catch(() => null); // the problem of the detection says why
  if (item !== state.selected) return bitmap?.close();
  view.source?.close?.();
  item.missing = !bitmap;
  const size = item.result?.image ?? bitmap;
  view.show(bitmap, size?.width, size?.height);
  render();
}

function render() {
  const item = state.selected;
  const result = item?.result;
  detections = shown(item);
  if (selected !== null && !detections[selected]) selected = null;
  $("result").hidden = !result;
  $("no-result").hidden = Boolean(result);
  $("view").ariaBusy = String(item?.status === "loading");
  $("stage").classList.toggle("busy", item?.status === "loading");
  if (!result) return describe(item);
  if (view.source && view.width !== result.image.width) view.show(view.source, result.image.width, result.image.height);
  view.draw(drawnItem === item ? toShapes(detections) : []);
  table.fill(detections);
  table.mark(selected, selected);
  $("classes").replaceChildren(...chips(result.detections));
  $("json").textContent = toJson([entry(item)], item.answer);
  $("scope").hidden = state.items.length < 2;
  timing(item.answer.timing_ms);
  describe(item);
}

function describe(item) {
  const size = item?.result && `${item.result.image.width} × ${item.result.image.height}`;
  const version = item?.answer && `${item.answer.model.name} ${item.answer.model.version}`;
  const text = !item ? "" : item.result ? `${plural(detections.length, "detection")} in ${item.name}, ${size}, ${version}`
    : item.error ? "" : `Detecting in ${item.name} …`;
  $("status").textContent = text;
  $("view").ariaLabel = text || "Image";
  if (item) $("problem").hidden = !item.error;
  if (item?.error) $("problem").firstChild.textContent = item.error.message;
  program();
}

function chips(all) {
  const counts = new Map([...state.classes].map((label) => [label, [state.card?.class_names.indexOf(label) ?? 0, 0]]));
  for (const d of all) {
    if (d.score >= minScore()) counts.set(d.label, [d.class_id, (counts.get(d.label)?.[1] ?? 0) + 1]);
  }
  const sorted = [...counts].sort(([a, [, m]], [b, [, n]]) => n - m || a.localeCompare(b));
  return sorted.map(([label, [classId, count]]) => chip(label, classId, count));
}

function chip(label, classId, count) {
  const swatch = element("i", { className: "swatch" });
  swatch.style.background = css(classColor(Math.max(0, classId)));
  const button = element("button", { type: "button" }, swatch, element("bdi", { textContent: label }), ` ${count}`);
  button.ariaPressed = String(state.classes.has(label));
  button.dataset.label = label;
  button.addEventListener("click", () => {
    const classes = new Set(state.classes);
    if (!classes.delete(label)) classes.add(label);
    update({ classes });
    [...$("classes").querySelectorAll("button")].find((other) => other.dataset.label === label)?.focus();
  });
  return element("li", {}, button);
}

function timing(ms) {
  const parts = { ...ms, rest: Math.max(ms.total - ms.decode - ms.queue - ms.infer, 0) };
  const texts = STAGES.map((name) => `${name} ${parts[name].toFixed(1)}`);
  $("timing").ariaLabel = `${ms.total.toFixed(1)} ms on the server: ${texts.join(", ")}`;
  const bars = STAGES.map((name) => element("i", { className: name }));
  bars.forEach((bar, i) => { bar.style.flex = `${Math.max(parts[STAGES[i]], 0.001)} 1 0`; });
  $("timing").replaceChildren(element("div", {}, ...bars), ...STAGES.map((name, i) =>
    element("span", {}, element("i", { className: `swatch ${name}` }), ` ${texts[i]}${i < STAGES.length - 1 ? "" : " ms"}`)));
}

function program() {
  const options = { model: reference(), score: threshold("score"), iou: threshold("iou"), nms: state.nms, classes: [...state.classes] };
  const ids = options.classes.map((name) => state.card?.class_names.indexOf(name) ?? -1).filter((id) => id >= 0);
  const base = new URL(".", location.href).href;
  const request = { base, file: state.selected?.name ?? "image.jpg", query: query({ exact: true }), options, ids, key: Boolean(key()) };
  $("snippet").textContent = state.model ? SNIPPETS[$("language").value](request) : "";
}

const entry = (item) => ({ name: item.name, image: item.result.image, detections: item.result.detections.filter(isShown) });

async function download(kind) {
  const item = state.selected;
  if ($("all").checked) await freshen();
  const stem = item.name.replace(/\.[^.]*$/, "") || "image";
  const all = $("all").checked ? state.items.filter((one) => one.result) : [item];
  const name = all.length > 1 ? "detections" : stem;
  const entries = all.map(entry);
  if (kind === "json") save(toJson(entries, item.answer), `${name}.json`);
  if (kind === "csv") save(toCsv(entries), `${name}.csv`);
  if (kind === "coco") save(toCoco(entries, state.card?.class_names ?? []), `${name}.coco.json`);
  if (kind !== "image") return;
  const bitmap = await loadBitmap(item);
  const blob = await toImage(bitmap, entry(item), view.labels);
  save(blob, `${stem}-detections.${blob.type === "image/jpeg" ? "jpg" : "png"}`);
}

$("language").replaceChildren(...Object.keys(SNIPPETS).map((name) => element("option", { textContent: name })));
$("language").addEventListener("change", program);
$("labels").addEventListener("click", ({ target }) => {
  view.set({ labels: !view.labels });
  target.ariaPressed = String(view.labels);
});
$("zoom-in").addEventListener("click", () => view.zoomBy(1.25));
$("zoom-out").addEventListener("click", () => view.zoomBy(0.8));
$("fit").addEventListener("click", () => view.fit());
for (const button of $("downloads").querySelectorAll("button")) button.addEventListener("click", () => download(button.dataset.kind));
subscribe(["selected"], showImage);
subscribe(["changed"], () => {
  if (!state.selected?.missing || state.selected.status !== "done") return;
  drawnItem = null; // the server answers again: it may convert the image, too
  showImage();
});
subscribe(["selected", "changed", "score", "classes", "card"], render);
subscribe(["model", "version", "iou", "nms", "key"], program);
