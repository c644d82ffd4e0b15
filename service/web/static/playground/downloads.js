// Files made of detections: CSV, JSON, COCO and the drawn image. `entries` are { name, image: { width, height }, detections }.

import { paint, toShapes } from "./paint.js";

const csvField = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

export function toCsv(entries) {
  const rows = entries.flatMap(({ name, detections }) =>
    detections.map((d) => [name, ...d.box, d.score, d.class_id, d.label].map(csvField).join(",")));
  return ["file,x1,y1,x2,y2,score,class_id,label", ...rows, ""].join("\r\n");
}

export const toJson = (entries, answer) => JSON.stringify({
  model: answer.model, results: entries.map(({ name, image, detections }) => ({ file: name, image, detections })),
}, null, 2);

// A COCO dataset whose annotations have scores. The id of a category is the number of its class.
export function toCoco(entries, classNames) {
  const images = entries.map(({ name, image }, i) => ({ id: i + 1, file_name: name, ...image }));
  const annotations = entries.flatMap(({ detections }, i) => detections.map(({ box: [x1, y1, x2, y2], score, class_id }) => {
    const [width, height] = [x2 - x1, y2 - y1].map((side) => Number(side.toFixed(3)));
    return { image_id: i + 1, category_id: class_id, bbox: [x1, y1, width, height], area: width * height, iscrowd: 0, score };
  }));
  annotations.forEach((annotation, i) => { annotation.id = i + 1; });
  const names = new Map(classNames.map((name, id) => [id, name]));
  for (const { detections } of entries) for (const d of detections) names.set(d.class_id, d.label); // of another version
  const categories = [...names].map(([id, name]) => ({ id, name, supercategory: "" }));
  return JSON.stringify({ images, annotations, categories }, null, 1);
}

// Return the image with its boxes as a blob, in its own size.
export async function toImage(bitmap, { name, image, detections }, labels) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, image.width, image.height);
  const bounds = { left: 0, top: 0, right: image.width, bottom: image.height };
  paint(context, toShapes(detections), { bounds, labels, size: Math.max(12, Math.round(Math.max(image.width, image.height) / 100)) });
  return canvas.convertToBlob(/\.jpe?g$/i.test(name) ? { type: "image/jpeg", quality: 0.92 } : { type: "image/png" });
}

export function save(content, name) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content]));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
