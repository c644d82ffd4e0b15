// Send an image to /detect once with a low min score, and filter the response by the slider.

const MIN_SCORE = 0.05; // of the request; the slider filters the response
const STAGES = [["decode", "#8ecae6"], ["queue", "#ffd166"], ["infer", "#83c5a0"], ["rest", "#c9c9c2"]];
const $ = (id) => document.getElementById(id);
const state = { response: null, name: "", hidden: new Set(), requests: 0, url: "" };

// The color of a class, as the server draws it: golden-ratio steps keep the hues of nearby classes apart.
function color(classId) {
  const [saturation, value] = [[0.85, 0.95], [0.6, 1.0], [0.9, 0.7]][classId % 3];
  const part = (n) => {
    const k = (n + ((classId * 0.618034) % 1) * 6) % 6;
    return Math.round(255 * (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

function textColor(rgb) { // black or white, whichever has the higher contrast (WCAG 2)
  const [r, g, b] = rgb.map((v) => (v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

const css = (rgb) => `rgb(${rgb.join(" ")})`;

function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

// Send a request with the API key of this tab, and ask for one if the server refuses it.
async function call(address, options = {}) {
  const key = sessionStorage.getItem("key");
  const response = await fetch(address, { ...options, headers: key ? { Authorization: `Bearer ${key}` } : {} });
  if (response.status === 401) $("access").hidden = false;
  return response;
}

async function detect(blob, name) {
  const request = ++state.requests; // only the latest request is shown, whichever response arrives first
  $("problem").hidden = true;
  $("status").textContent = `Detecting in ${name} …`;
  show(blob, name);
  const form = new FormData();
  form.append("file", blob, name);
  try {
    await modelsListed; // an image may be chosen before the models are listed
    const response = await call(`detect?${query(MIN_SCORE)}`, { method: "POST", body: form });
    const body = await response.json();
    if (request !== state.requests) return;
    if (!response.ok) throw new Error(body.detail);
    state.response = body;
    state.hidden.clear();
    render();
  } catch (error) {
    if (request === state.requests) fail(error.message);
  }
}

function query(score) {
  return new URLSearchParams({ model: $("model").value, score }).toString();
}

function show(blob, name) {
  URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(blob);
  Object.assign(state, { name, response: null, blob });
  $("image").src = state.url;
  $("image").alt = name;
  $("boxes").replaceChildren();
  $("stage").hidden = false;
  $("result").hidden = true;
}

function fail(message) {
  $("status").textContent = "";
  $("problem").textContent = message;
  $("problem").hidden = false;
}

function render() {
  if (!state.response) return;
  const [result] = state.response.results;
  const scored = result.detections.filter((d) => d.score >= Number($("score").value));
  const shown = scored.filter((d) => !state.hidden.has(d.label));
  $("status").textContent = `${shown.length} ${shown.length === 1 ? "detection" : "detections"} in ${state.name}, `
    + `${result.image.width} × ${result.image.height}`;
  $("boxes").replaceChildren(...shown.map((d) => box(d, result.image)).reverse()); // the highest score on top
  $("rows").replaceChildren(...shown.map(row));
  $("classes").replaceChildren(...chips(scored));
  const access = sessionStorage.getItem("key") ? `-H "X-Api-Key: $LINEAGE_API_KEY" ` : "";
  $("curl").textContent = `curl ${access}-F 'file=@${state.name.replaceAll("'", "'\\''")}' '${location.origin}`
    + `${location.pathname}detect?${query($("score").value)}'`;
  $("json").textContent = JSON.stringify({ ...state.response, results: [{ ...result, detections: shown }] }, null, 2);
  timing(state.response.timing_ms);
  $("result").hidden = false;
}

function box(d, image) {
  const [left, top, right, bottom] = d.box;
  const rgb = color(d.class_id);
  const label = element("span", { textContent: `${d.label} ${d.score.toFixed(2)}` });
  Object.assign(label.style, { background: css(rgb), color: textColor(rgb) });
  const frame = element("div", { className: "box" }, label);
  frame.classList.toggle("low", top / image.height < 0.04); // keep the label inside the image
  frame.classList.toggle("right", left / image.width > 0.75);
  frame.dataset.key = d.box.join();
  Object.assign(frame.style, {
    borderColor: css(rgb),
    left: `${(100 * left) / image.width}%`,
    top: `${(100 * top) / image.height}%`,
    width: `${(100 * (right - left)) / image.width}%`,
    height: `${(100 * (bottom - top)) / image.height}%`,
  });
  return frame;
}

function row(d) {
  const cells = [d.label, d.score.toFixed(3), d.box.map((v) => v.toFixed(0)).join(", ")];
  const tableRow = element("tr", { tabIndex: 0 }, ...cells.map((textContent) => element("td", { textContent })));
  const highlight = (on) => () => {
    for (const other of $("boxes").children) {
      const same = other.dataset.key === d.box.join();
      other.classList.toggle("lit", on && same);
      other.classList.toggle("dim", on && !same);
    }
  };
  for (const name of ["mouseenter", "focus"]) tableRow.addEventListener(name, highlight(true));
  for (const name of ["mouseleave", "blur"]) tableRow.addEventListener(name, highlight(false));
  return tableRow;
}

function chips(scored) {
  const counts = new Map();
  for (const d of scored) counts.set(d.label, [d.class_id, (counts.get(d.label)?.[1] ?? 0) + 1]);
  return [...counts].map(([label, [classId, count]]) => {
    const button = element("button", { type: "button", textContent: `${label} ${count}` });
    button.ariaPressed = String(!state.hidden.has(label));
    button.style.borderColor = css(color(classId));
    button.addEventListener("click", () => {
      if (!state.hidden.delete(label)) state.hidden.add(label);
      render();
      [...$("classes").querySelectorAll("button")].find((b) => b.textContent === button.textContent)?.focus();
    });
    return element("li", {}, button);
  });
}

function timing(ms) {
  const rest = Math.max(ms.total - ms.decode - ms.queue - ms.infer, 0);
  const parts = { ...ms, rest };
  $("total").textContent = `${ms.total.toFixed(1)} ms on the server`;
  $("timing").replaceChildren(...STAGES.map(([name, background]) => {
    const text = `${name} ${parts[name].toFixed(1)} ms`;
    const bar = element("div", { textContent: text, title: text });
    Object.assign(bar.style, { background, flex: `${Math.max(parts[name], 0.001)} 0 0` });
    return bar;
  }));
}

async function listModels() {
  const response = await call("models");
  const { models: all, default_model, detail } = await response.json();
  if (!response.ok) throw new Error(detail);
  const models = all.filter((model) => model.default !== null); // the others have no usable version
  const selected = $("model").value || default_model?.split("@")[0];
  $("model").replaceChildren(...models.map(({ name }) => element("option", { value: name, textContent: name })));
  if (models.some(({ name }) => name === selected)) $("model").value = selected;
  if (!models.length) fail("The repository has no model yet. Add one with `lineage import` or `lineage export`.");
  const describe = () => describeLicense(models.find(({ name }) => name === $("model").value));
  $("model").onchange = describe; // replaced when the models are listed again
  describe();
}

// License of the model's weights, the weights they were trained from, and the terms that bind users.
function describeLicense(model) {
  const version = model?.versions.find(({ version }) => version === model.default);
  const parents = (version?.parents ?? []).map(({ name, license }) => `${name} (${license})`);
  const trained = parents.length ? `, trained from ${parents.join(", ")}` : "";
  const terms = Object.entries(version?.terms ?? {}).map(([name, text]) => ` ${name}: ${text}.`);
  $("license").textContent = version?.license ? `License: ${version.license}${trained}.${terms.join("")}` : "";
  $("license").hidden = !version?.license;
}

async function listSamples() {
  const response = await fetch("playground/samples/index.json");
  const names = response.ok ? await response.json() : [];
  $("samples").hidden = names.length === 0;
  $("samples").querySelector("ul").replaceChildren(...names.map((name) => {
    const url = `playground/samples/${name}`;
    const button = element("button", { type: "button" }, element("img", { src: url, alt: `sample ${name}` }));
    button.addEventListener("click", async () => detect(await (await fetch(url)).blob(), name));
    return element("li", {}, button);
  }));
}

const firstImage = (items) => [...items].map((i) => (i.getAsFile ? i.getAsFile() : i)).find((f) => f?.type.startsWith("image/"));

function detectFirst(items) {
  const file = firstImage(items);
  if (file) detect(file, file.name || "pasted.png");
  else fail("Not an image: expected a JPEG, PNG, WebP, TIFF or BMP file.");
}

$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) detectFirst(target.files);
  target.value = ""; // so that the same file can be chosen again
});
$("score").addEventListener("input", ({ target }) => {
  $("score-value").textContent = Number(target.value).toFixed(2);
  render();
});
$("model").addEventListener("change", () => { if (state.blob) detect(state.blob, state.name); });
document.addEventListener("paste", ({ clipboardData }) => detectFirst(clipboardData.items));
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  detectFirst(event.dataTransfer.files);
});
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText($(button.dataset.source).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim()); // forgotten when the tab closes
  $("key").value = "";
  $("access").hidden = $("problem").hidden = true;
  start();
});

let modelsListed;
function start() {
  modelsListed = listModels();
  modelsListed.then(() => { if (state.blob && !state.response) detect(state.blob, state.name); }, (error) => fail(error.message));
}
start();
listSamples();
