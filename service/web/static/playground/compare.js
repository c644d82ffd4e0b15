// Two models or versions on the same image, side by side, with matched and unmatched boxes marked.

import { detect } from "./api.js";
import { debounce, element, plural } from "./dom.js";
import { loadBitmap, select } from "./images.js";
import { count, match } from "./match.js";
import { SIDES, isShown, maxIou, query, reference, state, subscribe, update, versionOf } from "./state.js";
import { View } from "./view.js";

const MATCHED = [0, 163, 141];
const ONLY = [255, 152, 0];
const TEMPLATE = `
  <div class="bar" role="group" aria-label="Comparison">
    <label>Image <select id="compare-image"></select></label>
    <label>Left <select class="reference"></select></label>
    <label>Right <select class="reference"></select></label>
    <button type="button" id="swap">Swap</button>
  </div>
  <p id="compare-status" role="status"></p>
  <p role="alert" hidden></p>
  <div class="sides">
    <div class="side"><h2></h2><div tabindex="0" role="group"></div></div>
    <div class="side"><h2></h2><div tabindex="0" role="group"></div></div>
  </div>
  <p class="legend"><span><i class="key"></i>in both: same class, IoU at least 0.5</span> <span><i class="key only"></i>on this side only</span></p>
  <div id="difference"><table aria-label="Differences by class"><thead><tr><th scope="col">Class</th><th scope="col">In both</th>
    <th scope="col">Left only</th><th scope="col">Right only</th></tr></thead><tbody></tbody></table></div>`;

let $;
let visible = false;
let abort = new AbortController();
let answers = []; // results of both sides
let pairs = [];
let image = null; // the item that is shown

export function mount(section) {
  section.innerHTML = TEMPLATE;
  const all = (selector) => [...section.querySelectorAll(selector)];
  $ = {
    image: section.querySelector("#compare-image"), references: all(".reference"), status: section.querySelector("[role=status]"),
    problem: section.querySelector("[role=alert]"), titles: all("h2"), rows: section.querySelector("tbody"),
  };
  $.views = all(".side > div").map((host, side) => new View(host, { hover: (id) => highlight(side, id), drawn: () => follow(side) }));
  for (const list of $.references) list.addEventListener("change", choose);
  $.image.addEventListener("change", () => select(state.items.find(({ id }) => id === Number($.image.value))));
  section.querySelector("#swap").addEventListener("click", () => {
    const [left, right] = $.references;
    [left.value, right.value] = [right.value, left.value];
    choose();
  });
  section.addEventListener("show", () => { visible = true; list(); run(); });
  section.addEventListener("hide", () => { visible = false; abort.abort(); });
  subscribe(["models"], () => { list(); run(); });
  subscribe(["selected", "items", "iou", "nms", "card"], debounce(run, 100));
  subscribe(["score", "classes"], () => { draw(); again(); });
}

const again = debounce(run, 300); // a lower score needs another request

// List models, their aliases and their versions. The right side begins with another version or model than the left side.
function list() {
  if (!state.models.length) return; // not known yet
  const references = state.models.flatMap(({ name, aliases, versions }) => [
    name, ...Object.keys(aliases).map((alias) => `${name}@${alias}`),
    ...versions.filter((one) => one.state !== "failed").map(({ version }) => `${name}@${version}`),
  ]);
  const model = state.models.find(({ name }) => name === state.model);
  const version = model?.versions.findLast((one) => one.version !== versionOf(model) && one.state !== "failed")?.version;
  const right = version ? `${model.name}@${version}` : state.models.find(({ name }) => name !== state.model)?.name;
  const starts = [reference(), right ?? references[0]];
  $.references.forEach((select, side) => {
    const chosen = state[SIDES[side]] || starts[side];
    // One that does not exist stays, for the error of the server.
    select.replaceChildren(...[...new Set([...references, chosen])].map((one) => new Option(one, one)));
    select.value = chosen;
  });
  keep();
}

// The link to the page has both sides.
function keep() {
  const [left, right] = $.references.map(({ value }) => value);
  update({ left, right });
}

function choose() {
  keep();
  run();
}

async function run() {
  if (!visible) return;
  abort.abort();
  const { signal } = (abort = new AbortController());
  $.image.replaceChildren(...state.items.map(({ id, name }) => new Option(name, id)));
  $.image.disabled = !state.items.length;
  const item = state.selected;
  $.problem.hidden = true;
  await show(item);
  if (!item || !state.models.length) return ($.status.textContent = item ? "No models" : "Choose, drop or paste an image to compare.");
  $.image.value = item.id;
  $.status.textContent = `Comparing on ${item.name} …`;
  try {
    const found = await Promise.all($.references.map(({ value }) => detect(item.blob, item.name, parameters(value), signal)));
    if (signal.aborted) return;
    answers = found.map((answer) => ({ ...answer.results[0], model: answer.model, ms: answer.timing_ms.total }));
    for (const view of $.views) view.show(view.source, answers[0].image.width, answers[0].image.height);
    draw();
  } catch (error) {
    if (signal.aborted) return;
    $.status.textContent = "";
    Object.assign($.problem, { textContent: error.message, hidden: false });
  }
}

function parameters(model) {
  const params = query();
  params.set("model", model);
  params.set("iou", maxIou()); // models have different defaults
  return params;
}

// Show the image on both sides, without boxes until they are known.
async function show(item) {
  if (image === item) return;
  image = item;
  answers = [];
  draw();
  const bitmap = item ? await loadBitmap(item).catch(() => null) : null;
  if (image !== item) return;
  for (const view of $.views) view.show(bitmap);
}

function draw() {
  const sides = answers.map(({ detections }) => detections.filter(isShown));
  pairs = sides.length ? match(...sides) : [];
  $.views.forEach((view, side) => {
    const matched = new Set(pairs.map((pair) => pair[side]));
    view.draw((sides[side] ?? []).map((d, id) => ({
      id, box: d.box, color: matched.has(id) ? MATCHED : ONLY, dashed: !matched.has(id), text: `\u2068${d.label}\u2069 ${d.score.toFixed(2)}`,
    })));
    const answer = answers[side];
    const title = answer ? `${answer.model.name} version ${answer.model.version}: ${plural(sides[side].length, "detection")}, ${answer.ms.toFixed(0)} ms` : "";
    $.titles[side].textContent = title;
    view.host.ariaLabel = title || "Image";
  });
  const rows = sides.length ? count(...sides, pairs) : [];
  $.rows.replaceChildren(...rows.map(([label, ...counts]) => element("tr", {},
    element("td", {}, element("bdi", { textContent: label })), ...counts.map((textContent) => element("td", { textContent })))));
  if (sides.length) $.status.textContent = `${pairs.length} in both, ${sides[0].length - pairs.length} on the left only, ${sides[1].length - pairs.length} on the right only`;
}

// Light the detection under the pointer, and its partner on the other side.
function highlight(side, id) {
  const partner = pairs.find((pair) => pair[side] === id);
  $.views[side].set({ lit: id });
  $.views[1 - side].set({ lit: partner ? partner[1 - side] : null });
}

// Zoom and pan both sides alike.
function follow(side) {
  const [from, to] = [$.views?.[side], $.views?.[1 - side]];
  if (!to || (from.zoom === to.zoom && from.x === to.x && from.y === to.y)) return;
  Object.assign(to, { zoom: from.zoom, x: from.x, y: from.y });
  to.redraw();
}
