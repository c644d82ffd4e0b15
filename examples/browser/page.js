// The page around detect.js.

import { load } from "./detect.js";

const find = (id) => document.getElementById(id);
const folder = new URLSearchParams(location.search).get("model") ?? "model/";
let model, image;

// Decode an image file upright, with transparent parts drawn over white.
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const context = Object.assign(find("canvas"), { width: bitmap.width, height: bitmap.height }).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function show() {
  find("score-value").textContent = find("score").value;
  if (!image) return;
  const start = performance.now();
  const found = await model.detect(image, { score: Number(find("score").value) });
  const milliseconds = Math.round(performance.now() - start);
  draw(found);
  find("rows").replaceChildren(...found.map(({ label, score, box }) => {
    const row = document.createElement("tr");
    row.append(...[label, score.toFixed(2), ...box.map((value) => value.toFixed(1))].map((text) =>
      Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
  find("rows").parentElement.hidden = false;
  find("status").textContent = `${found.length} ${found.length === 1 ? "object" : "objects"} in ${milliseconds} ms`;
}

function draw(found) {
  const context = find("canvas").getContext("2d");
  context.putImageData(image, 0, 0);
  context.lineWidth = Math.max(2, image.width / 600);
  context.font = `${Math.max(12, image.width / 80)}px system-ui`;
  for (const { label, class_id, score, box: [left, top, right, bottom] } of found) {
    context.strokeStyle = context.fillStyle = `hsl(${(class_id * 137.5) % 360} 90% 40%)`;
    context.strokeRect(left, top, right - left, bottom - top);
    context.fillText(`${label} ${score.toFixed(2)}`, left, Math.max(top - 4, 12));
  }
  find("canvas").hidden = false;
}

function report(error) {
  find("status").textContent = error.message;
}

find("file").addEventListener("change", async ({ target }) => {
  try {
    image = await decode(target.files[0]);
    await show();
  } catch {
    report(new Error("Expected an image that this browser can decode, such as JPEG, PNG or WebP."));
  }
});
find("score").addEventListener("input", () => show().catch(report));

load(folder).then((loaded) => {
  model = loaded;
  find("score").value = model.card.thresholds.score;
  find("file").disabled = false;
  find("status").textContent = "Choose an image.";
  return show();
}, report);

// For tests and other scripts: the detections of an image file at an address.
window.detectFile = async (address) => {
  const pixels = await decode(await (await fetch(address)).blob());
  const start = performance.now();
  const found = await model.detect(pixels);
  return { found, milliseconds: performance.now() - start };
};
