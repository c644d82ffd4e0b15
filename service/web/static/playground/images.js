// The images of the session and their detections. The selected image is detected first, then those that wait.

import { detect } from "./api.js";
import { debounce } from "./dom.js";
import { preview } from "./preview.js";
import { isShown, query, quoted, state, subscribe, update } from "./state.js";

const PARALLEL = 2;
const MAX_ITEMS = 200;
const THUMBNAIL = 128;
let number = 0;
let running = 0;
const waiters = [];

// Add image files and select the first of them.
export function add(files) {
  const added = files.slice(0, MAX_ITEMS).map(({ blob, name }) => ({ id: ++number, blob, name, status: "waiting" }));
  if (!added.length) return;
  update({ items: [...state.items, ...added].slice(-MAX_ITEMS), selected: added[0] });
  pump();
}

export function remove(item) {
  item.abort?.abort();
  const at = state.items.indexOf(item);
  const items = state.items.filter((other) => other !== item);
  update({ items, selected: state.selected === item ? items[Math.min(at, items.length - 1)] ?? null : state.selected });
  pump();
}

// Remove all images, and return a function that brings them back.
export function clear() {
  const { items, selected } = state;
  for (const item of items) item.abort?.abort();
  update({ items: [], selected: null });
  return () => {
    update({ items, selected });
    retry(); // those that were aborted
  };
}

export function select(item) {
  update({ selected: item });
  pump();
}

export function retry() {
  for (const item of state.items) if (item.failed) Object.assign(item, { status: "waiting", failed: null, error: null });
  pump();
}

// Images that are not selected keep their detections when the options change.
export const isStale = (item) => item.status === "done" && item.key !== requestKey(item);

// Detect again where other options were used, and return when all images are done.
export function freshen() {
  for (const item of state.items) if (isStale(item)) item.status = "waiting";
  return new Promise((resolve) => {
    waiters.push(resolve);
    pump();
  });
}

// The detections of an image that the thresholds let through, the highest score first.
export const shown = (item) => item?.result?.detections.filter(isShown) ?? [];

// An answer has all classes, unless the model gives no more detections than that: then the server filters.
export function requestKey(item) {
  const params = query();
  if (item.full) for (const name of state.classes) params.append("classes", quoted(name));
  return params.toString();
}

// Take the answer to a request into an image.
export function take(item, answer, key) {
  const [result] = answer.results;
  const full = item.full || result.detections.length >= (state.card?.max_detections ?? Infinity);
  Object.assign(item, { key, answer, result, full, pending: null, status: "done", error: null });
}

// Return what the view can draw. A format that the browser cannot show is converted by the server.
export async function loadBitmap(item) {
  try {
    return await createImageBitmap(item.converted ?? item.blob);
  } catch {
    item.converting ??= preview(item.blob).finally(() => { item.converting = null; });
    item.converted = await item.converting;
    return createImageBitmap(item.converted);
  }
}

// Return a small canvas: hundreds of images would not fit in memory.
export async function thumbnail(item) {
  const bitmap = await loadBitmap(item);
  const scale = Math.min(1, THUMBNAIL / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

function pump() {
  if (!state.model) return; // the models are not listed yet
  const chosen = state.selected;
  if (chosen && ![chosen.key, chosen.pending, chosen.failed].includes(requestKey(chosen))) run(chosen);
  while (running < PARALLEL) {
    const next = state.items.find((item) => item.status === "waiting");
    if (!next) break;
    run(next);
  }
  if (!running) for (const resolve of waiters.splice(0)) resolve();
}

async function run(item) {
  item.abort?.abort(); // only the answer to the latest request counts
  const [abort, key] = [new AbortController(), requestKey(item)];
  Object.assign(item, { abort, pending: key, status: "loading", error: null, failed: null });
  running += 1;
  update({ changed: item });
  try {
    take(item, await detect(item.blob, item.name, key, abort.signal), key);
  } catch (error) {
    if (item.abort === abort) Object.assign(item, { error, failed: key, key: null, result: null, pending: null, status: "failed" });
  }
  running -= 1;
  if (item.abort === abort) update({ changed: item });
  pump();
}

subscribe(["score", "iou", "nms", "classes"], debounce(pump, 250));
subscribe(["model", "version", "models"], pump);
