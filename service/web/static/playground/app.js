// The page: files in, tabs, API key and errors. The other modules follow the state.

import { key, setKey } from "./api.js";
import { $ } from "./dom.js";
import "./gallery.js";
import "./history.js";
import { add, retry } from "./images.js";
import { listModels } from "./models.js";
import "./options.js";
import "./result.js";
import { fromAddress, link, state, update } from "./state.js";
import { tabs } from "./tabs.js";

const IMAGE_NAME = /\.(jpe?g|png|webp|tiff?|bmp|hei[cf]|avif)$/i;
const LAZY = { live: () => import("./live.js"), compare: () => import("./compare.js") };
const mounted = new Set();

export function fail(message) {
  $("status").textContent = "";
  $("problem").firstChild.textContent = message;
  $("problem").hidden = false;
}

function addFiles(items) {
  const files = [...items].map((item) => (item.getAsFile ? item.getAsFile() : item)).filter(Boolean);
  const images = files.filter((file) => file.type.startsWith("image/") || IMAGE_NAME.test(file.name));
  if (images.length) add(images.map((file) => ({ blob: file, name: file.name || "pasted.png" })));
  else if (files.length) fail("Not an image: expected JPEG, PNG, WebP, TIFF, HEIF or BMP files.");
}

// The pages of the other tabs have their own modules: mount(section) runs once, then the section gets "show" and "hide".
async function open(panel) {
  document.body.dataset.panel = panel;
  for (const name of mounted) if (name !== panel) $(name).dispatchEvent(new Event("hide"));
  update({ panel });
  if (!LAZY[panel]) return;
  try {
    const { mount } = await LAZY[panel]();
    if (!mounted.has(panel)) mounted.add(panel), await mount($(panel));
    $(panel).dispatchEvent(new Event("show"));
  } catch (error) {
    fail(`This part of the page cannot be loaded: ${error.message}`);
  }
}

async function start() {
  $("problem").hidden = true;
  try {
    await listModels();
    if (!state.selected) $("status").textContent = "Ready";
  } catch (error) {
    fail(error.message);
  }
}

function askForKey(shown = $("access").hidden) {
  $("access").hidden = !shown;
  $("open-access").ariaExpanded = String(shown);
  if (shown) $("key").focus();
}

$("file").addEventListener("change", ({ target }) => {
  addFiles(target.files);
  target.value = ""; // so that the same file can be chosen again
});
window.addEventListener("paste", ({ clipboardData }) => addFiles([...clipboardData.items].filter((item) => item.kind === "file")));
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
window.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dragging");
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  addFiles(event.dataTransfer.files);
});
for (const button of document.querySelectorAll("button.copy")) {
  const text = button.textContent;
  button.addEventListener("click", async () => {
    $("address").textContent = new URL(link(), location.href).href;
    await copy($(button.dataset.source));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = text; }, 1500);
  });
}
// Browsers have no clipboard for pages without TLS, except on localhost: there, the selection is copied.
function copy(source) {
  if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent);
  getSelection().selectAllChildren(source);
  return document.execCommand("copy");
}

$("open-access").addEventListener("click", () => askForKey());
$("access").addEventListener("submit", async (event) => {
  event.preventDefault();
  setKey($("key").value.trim());
  $("key").value = "";
  askForKey(false);
  update({ key: key() !== "" });
  await again();
});
async function again() {
  if (!state.models.length) await start();
  $("problem").hidden = true;
  retry();
}
$("retry").addEventListener("click", again);
window.addEventListener("access", () => askForKey(true));
window.addEventListener("online", again);

update(fromAddress());
tabs($("panels"));
tabs($("tabs"), open)(location.hash.slice(1) || "images");
start();
