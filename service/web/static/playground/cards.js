// The models of the repository: cards, metrics, licenses, engines and classes of all versions.

import { getJson, setKey } from "./api.js";
import { $, element, plural } from "./dom.js";

const FIRST = 4;
const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });
const megabytes = (bytes) => `${number(bytes / 1e6, 1)} MB`;
const short = (digest) => digest && element("code", { textContent: digest.slice(0, 12), title: digest });
const text = (tag, textContent, className = "") => element(tag, { textContent, className });

async function load(event) {
  $("problem").hidden = $("access").hidden = $("empty").hidden = true;
  $("loading").hidden = $("models").childElementCount > 0;
  $("status").textContent = "Loading models …";
  try {
    await show(await getJson("models"));
  } catch (error) {
    $("status").textContent = "";
    $("problem").querySelector("p").textContent = error.message;
    $("problem").hidden = false;
  }
  $("loading").hidden = true;
  const isShown = (id) => $(id).checkVisibility();
  if (event?.type === "click") $(["retry", "again", "filter"].find(isShown)).focus(); // the button may be gone
}

// The first models are shown with their cards at once, so that nothing moves.
async function show({ models, problems, default_model: preferred }) {
  const sorted = models.toSorted((a, b) => (b.name === preferred) - (a.name === preferred));
  const articles = sorted.map((model) => article(model, model.name === preferred));
  await Promise.all(articles.slice(0, FIRST).map((one) => one.fill()));
  $("empty").hidden = models.length > 0;
  $("problems").hidden = !problems.length;
  $("problems").replaceChildren(...problems.map((problem) => text("li", problem)));
  $("models").replaceChildren(...articles);
  for (const one of articles.slice(FIRST)) near.observe(one);
  filter();
}

function article(model, preferred) {
  const tags = Object.entries(model.aliases).map(([alias, version]) => text("span", `${alias} → ${version}`, "tag"));
  if (preferred) tags.unshift(text("span", "default model", "tag main"));
  const made = element("article", {}, element("header", {}, element("h2", {}, element("bdi", { textContent: model.name })), ...tags));
  if (model.degraded.length) made.append(element("ul", {}, ...model.degraded.map((reason) => text("li", reason, "bad"))));
  const versions = model.versions.toReversed().map((version) => details(model, version));
  made.append(...versions);
  made.dataset.text = [model.name, ...model.versions.map(({ license }) => license)].join(" ").toLowerCase();
  made.fill = () => fill(made, model, versions);
  return made;
}

// Cards are requested when an article comes near the window: a repository may have hundreds of models.
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) near.unobserve(target), target.fill();
}, { rootMargin: "50%" });

function details(model, version) {
  const isDefault = version.version === model.default;
  const made = element("details", { open: isDefault }, element("summary", {},
    text("b", `Version ${version.version}`), ...(isDefault ? [text("span", "answers for the name", "tag main")] : []),
    text("span", version.state, version.state === "failed" ? "bad" : "")));
  made.version = version.version;
  if (version.reason) made.append(element("div", { className: "version" }, text("p", version.reason, "bad wide")));
  return made;
}

async function fill(made, model, versions) {
  made.ariaBusy = "true";
  const detail = await getJson(`models/${encodeURIComponent(model.name)}`).catch((error) => ({ error }));
  made.ariaBusy = "false";
  if (detail.error) return made.append(failure(detail.error, made));
  if (detail.rollout) made.querySelector("header").append(...rollout(detail.rollout));
  for (const shown of versions) {
    const version = detail.versions.find((one) => one.version === shown.version);
    if (!version?.card) continue;
    shown.querySelector("summary").append(text("span", headline(version)));
    shown.append(body(model.name, version));
    made.dataset.text += ` ${version.card.class_names.join(" ").toLowerCase()}`;
  }
  filter();
}

// A card that cannot be read does not hide the others.
function failure({ message }, made) {
  const again = element("button", { type: "button" }, "Try again", text("span", ` for ${made.querySelector("h2").textContent}`, "away"));
  const note = element("div", { className: "failure" }, text("p", `The card cannot be read. ${message}`, "bad"), again);
  again.addEventListener("click", async () => {
    note.remove();
    made.querySelector("summary")?.focus(); // the button is gone
    await made.fill();
  });
  return note;
}

function rollout({ stable, canary, shadow }) {
  const parts = [stable && `stable: ${stable}`, canary && `canary: ${canary.version}, ${canary.percent} %`, shadow && `shadow: ${shadow.version}, ${shadow.percent} %`];
  return parts.filter(Boolean).map((part) => text("span", part, "tag"));
}

function headline({ card, model_bytes: bytes }) {
  const ap = card.metrics.find(({ name }) => name === "AP");
  return [card.variant, card.precision, bytes && megabytes(bytes), ap && `AP ${ap.value.toFixed(3)}`].filter(Boolean).join(" · ");
}

function body(name, version) {
  const { card } = version;
  const address = `./?${new URLSearchParams({ model: name, version: version.version })}`;
  return element("div", { className: "version" },
    part("Network", list(network(version))),
    part("Weights", lineage(version)),
    part("Metrics", card.metrics.length ? metrics(card.metrics) : text("p", "None recorded. Published training runs have them. lineage evaluate measures any model.")),
    part("Engine", ...engine(version.engine)),
    part(plural(card.class_names.length, "class").replace("classs", "classes"), classes(card.class_names)),
    element("p", { className: "wide" }, element("a", { className: "button", href: address },
      "Open in the playground", text("span", `: ${name} version ${version.version}`, "away"))));
}

const part = (title, ...children) => element("section", {}, text("h3", title), ...children);
const list = (rows) => element("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [text("dt", name), element("dd", {}, value)]));

function network({ card, model_bytes: bytes, digest }) {
  const sizes = card.input_size.join(" × ");
  return [
    ["Variant", `${card.variant} (${card.family})`],
    ["Input", card.dynamic_size ? `${sizes}, other multiples of ${card.stride} too` : sizes],
    ["Parameters", card.params && `${number(card.params / 1e6, 2)} million`],
    ["Operations", card.gflops && `${number(card.gflops, 2)} GFLOPs`],
    ["Precision", card.precision],
    ["File", bytes && megabytes(bytes)],
    ["Defaults", `score ${card.thresholds.score}, IoU ${card.thresholds.iou}, at most ${card.max_detections} detections`],
    ["Digest", short(digest)],
  ];
}

// The weights, what they were trained from, and the terms that bind their users.
function lineage({ card: { weights }, parents, terms }) {
  const described = ({ name, license, sha256 }) => element("li", {}, element("bdi", { textContent: name }), ` (${license}) `, short(sha256) ?? "");
  const chain = (parents ?? []).map(described);
  const bound = Object.entries(terms).map(([name, condition]) => element("p", {}, text("b", `${name}: `), condition));
  return element("div", {},
    list([["License", weights.license], ["Origin", weights.origin], ["SHA-256", short(weights.sha256)], ["Trained from", { null: "not known", 0: "no other weights" }[parents && parents.length]]]),
    ...(chain.length ? [text("h3", "Trained from"), element("ol", {}, ...chain)] : []), ...bound);
}

function table(head, rows) {
  const cell = (tag) => (value, i) => element(tag, { className: i && typeof value === "number" ? "number" : "" }, typeof value === "number" ? number(value, 4) : value ?? "");
  const className = (i) => (rows.some((row) => typeof row[i] === "number") ? "number" : "");
  const titles = head.map((name, i) => element("th", { scope: "col", textContent: name, className: className(i) }));
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...titles)),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td"))))));
  return element("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: head.join(", ") }, made);
}

// One row for each dataset and date, one column for each metric.
function metrics(all) {
  const names = [...new Set(all.map(({ name }) => name))];
  const rows = new Map(all.map(({ dataset, date }) => [`${dataset} ${date}`, [dataset, date]]));
  const value = (key, name) => all.find((one) => one.name === name && `${one.dataset} ${one.date}` === key)?.value;
  return table(["Dataset", ...names, "Date"], [...rows].map(([key, [dataset, date]]) => [dataset, ...names.map((name) => value(key, name)), date]));
}

// The engine of a loaded version, and the measurements that chose it.
function engine(found) {
  if (!found) return [text("p", "Not loaded. The first request loads it.")];
  const about = list([["Device", found.device], ["Compute", found.compute], ["Workers", String(found.workers)]]);
  if (!found.trials.length) return [about, text("p", "Nothing was measured to choose it.")];
  const rows = found.trials.map((trial) => [`${trial.provider} ${trial.compute}`, ...(trial.problem ? [trial.problem, "", "", ""]
    : [Math.round(trial.lone_ms * 10) / 10, Math.round(trial.images_per_second * 10) / 10, Math.round(trial.memory_mb), trial.agreement])]);
  const shown = table(["Measured", "ms alone", "images/s", "MB", "agreement"], rows);
  const chosen = found.trials.findIndex(({ compute, provider }) => compute === found.compute && provider === found.provider);
  shown.querySelectorAll("tbody tr")[chosen]?.classList.add("chosen");
  return [about, shown];
}

const classes = (names) => element("ul", { className: "classes", tabIndex: 0, ariaLabel: "Classes" }, ...names.map((name, i) =>
  element("li", { className: "tag", title: `class_id ${i}` }, element("bdi", { textContent: name }))));

function filter() {
  const wanted = $("filter").value.trim().toLowerCase();
  const articles = [...$("models").children];
  for (const one of articles) one.hidden = !one.dataset.text.includes(wanted);
  const visible = articles.filter((one) => !one.hidden).length;
  $("status").textContent = wanted ? `${visible} of ${plural(articles.length, "model")}` : plural(articles.length, "model");
}

$("filter").addEventListener("input", filter);
for (const id of ["retry", "again"]) $(id).addEventListener("click", load);
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value.trim());
  $("key").value = "";
  load();
});
window.addEventListener("access", () => { $("access").hidden = false; });
window.addEventListener("online", load);
load();
