// The choice of model and version, and the samples that belong to the model.

import { call, getJson } from "./api.js";
import { $, element } from "./dom.js";
import { add } from "./images.js";
import { reference, state, subscribe, update, versionOf } from "./state.js";

// Sets of samples: the folder of each under samples, and classes that its model knows.
const SETS = [["", ["text_field", "dropdown", "toggle"]], ["coco", ["person", "cat", "cup"]]];

// List the models, and choose that of the address or the default.
export async function listModels() {
  const { models: all, default_model: preferred } = await getJson("models");
  const models = all.filter((model) => model.default !== null); // the others have no usable version
  $("model").replaceChildren(...models.map(({ name }) => element("option", { value: name, textContent: name })));
  const has = (name) => models.some((model) => model.name === name);
  const model = [state.model, preferred?.split("@")[0], models[0]?.name].find((name) => name && has(name)) ?? "";
  const unknown = state.model && !has(state.model) ? state.model : "";
  update({ models, model, version: model === state.model ? state.version : "" });
  if (!models.length) throw new Error("The repository has no model yet. Add one with `lineage import` or `lineage export`.");
  if (unknown) throw new Error(`There is no usable model ${unknown}. Showing ${model}.`);
}

async function showModel() {
  const model = state.models.find(({ name }) => name === state.model);
  if (!model) return;
  $("model").value = model.name;
  const option = (value, textContent) => element("option", { value, textContent });
  const aliases = Object.entries(model.aliases).map(([name, version]) => option(name, `${name} → ${version}`));
  const numbers = model.versions.map(({ version, state: now }) => option(version, now === "failed" ? `${version} (failed)` : version));
  $("version").replaceChildren(option("", `default (${model.default})`), ...aliases, ...numbers);
  $("version").value = state.version;
  if ($("version").selectedIndex < 0) $("version").append(option(state.version, state.version)), $("version").value = state.version;
  describeLicense(model);
  const asked = reference();
  const { versions } = await getJson(`models/${encodeURIComponent(model.name)}`).catch(() => ({ versions: [] }));
  if (reference() === asked) update({ card: versions.find(({ version }) => version === versionOf(model))?.card ?? null });
}

// License of the model's weights, the weights they were trained from, and the terms that bind users.
function describeLicense(model) {
  const version = model.versions.find((one) => one.version === versionOf(model));
  const parents = (version?.parents ?? []).map(({ name, license }) => `${name} (${license})`);
  const trained = parents.length ? `, trained from ${parents.join(", ")}` : "";
  const terms = Object.entries(version?.terms ?? {}).map(([name, text]) => ` ${name}: ${text}.`);
  $("license").textContent = version?.license ? `License: ${version.license}${trained}.${terms.join("")}` : "";
}

let samples;
async function showSamples() {
  if (!state.card) return;
  samples ??= getJson("playground/samples/index.json").catch(() => []);
  const known = new Set(state.card.class_names);
  const folders = SETS.filter(([, classes]) => classes.every((name) => known.has(name))).map(([folder]) => folder);
  const names = (await samples).filter((name) => folders.includes(name.split("/").slice(0, -1).join("/")));
  $("no-samples").hidden = names.length > 0;
  $("samples").querySelector("ul").replaceChildren(...names.map(sample));
}

function sample(path) {
  const [url, name] = [`playground/samples/${path}`, path.split("/").at(-1)];
  const button = element("button", { type: "button" }, element("img", { src: url, alt: `Sample ${name}`, loading: "lazy" }));
  button.addEventListener("click", async () => add([{ blob: await (await call(url)).blob(), name }]));
  return element("li", {}, button);
}

$("model").addEventListener("change", ({ target }) => update({ model: target.value, version: "", classes: new Set() }));
$("version").addEventListener("change", ({ target }) => update({ version: target.value }));
subscribe(["models", "model", "version"], showModel);
subscribe(["card"], showSamples);
