// Drawing of boxes and labels on a canvas: on the page, in a video, and in a downloaded image.

import { classColor, css, textColor } from "./colors.js";
import { placeLabels } from "./labels.js";

const widths = new Map(); // of texts, in pixels at a font size of 1

// The shapes of detections. `color` is [red, green, blue], and `dashed` marks a box.
export const toShapes = (detections) => detections.map((d, id) => ({
  id, box: d.box, color: classColor(d.class_id), text: `\u2068${d.label}\u2069 ${d.score.toFixed(2)}`, // an isolated name: it may run from right to left
}));

// Draw shapes, of which the first have priority. Returns the number of labels that found no free place.
// A point (x, y) of the image is drawn at (x * scale + left, y * scale + top). `lit` is the id of a highlighted shape.
export function paint(context, shapes, { scale = 1, left = 0, top = 0, bounds, labels = true, lit = null, size = 12 }) {
  const boxes = shapes.map(({ box: [x1, y1, x2, y2] }) => ({
    left: x1 * scale + left, top: y1 * scale + top, right: x2 * scale + left, bottom: y2 * scale + top,
  }));
  context.lineWidth = Math.max(1.5, size / 6);
  for (let i = shapes.length - 1; i >= 0; i--) if (shapes[i].id !== lit) frame(context, boxes[i], shapes[i], lit === null ? 1 : 0.3);
  const found = shapes.findIndex(({ id }) => id === lit);
  const places = labels ? place(context, shapes, boxes, bounds, size) : shapes.map(() => null);
  places.forEach((at, i) => { if (at && i !== found) label(context, at, shapes[i], size, lit === null ? 1 : 0.3); });
  if (found >= 0) highlight(context, shapes[found], boxes[found], bounds, size);
  return labels ? places.filter((at) => !at).length : 0;
}

function place(context, shapes, boxes, bounds, size) {
  return placeLabels(boxes, shapes.map((shape) => labelSize(context, shape.text, size)), bounds);
}

function labelSize(context, text, size) {
  if (!widths.has(text)) {
    if (widths.size > 5000) widths.clear();
    context.font = font(100);
    widths.set(text, context.measureText(text).width / 100);
  }
  return { width: Math.ceil(widths.get(text) * size + size * 0.6), height: Math.ceil(size * 1.35) };
}

const font = (size) => `600 ${size}px system-ui, sans-serif`;

function frame(context, box, shape, alpha) {
  context.globalAlpha = alpha;
  context.strokeStyle = css(shape.color);
  context.setLineDash(shape.dashed ? [3 * context.lineWidth, 2 * context.lineWidth] : []);
  context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  context.globalAlpha = 1;
}

function label(context, at, shape, size, alpha = 1) {
  context.globalAlpha = alpha;
  context.fillStyle = css(shape.color);
  context.fillRect(at.left, at.top, at.right - at.left, at.bottom - at.top);
  context.fillStyle = textColor(shape.color);
  context.font = font(size);
  context.textBaseline = "middle";
  context.fillText(shape.text, at.left + size * 0.3, (at.top + at.bottom) / 2 + size * 0.06);
  context.globalAlpha = 1;
}

// The highlighted box is on top, with its label wherever it is inside the bounds.
function highlight(context, shape, box, bounds, size) {
  context.lineWidth = size / 2;
  frame(context, box, { color: [255, 255, 255] }, 0.9);
  context.lineWidth = size / 4;
  frame(context, box, shape, 1);
  const { width, height } = labelSize(context, shape.text, size);
  const inside = (value, low, high) => Math.max(low, Math.min(value, high));
  const above = box.top - height >= bounds.top ? box.top - height : box.bottom;
  const [x, y] = [inside(box.left, bounds.left, bounds.right - width), inside(above, bounds.top, bounds.bottom - height)];
  label(context, { left: x, top: y, right: x + width, bottom: y + height }, shape, size);
}
