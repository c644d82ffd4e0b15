// Detect objects in the browser: the file that the server runs, unchanged. docs/contract.md has the contract.
//
//     const model = await load("model/");                    // a folder of a package: model.onnx and card.json
//     const found = await model.detect(imageData);           // [{label, score, box: [left, top, right, bottom]}, ...]

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

export async function load(folder) {
  const [card, file] = await Promise.all([
    fetchFile(`${folder}card.json`).then((response) => response.json()),
    fetchFile(`${folder}model.onnx`).then((response) => response.arrayBuffer()),
  ]);
  return new Model(card, await ort.InferenceSession.create(file));
}

async function fetchFile(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: expected a file of a model package; got status ${response.status}`);
  return response;
}

export class Model {
  constructor(card, session) {
    this.card = card;
    this.session = session;
  }

  // `image` is an ImageData: RGBA pixels of the upright image. Transparent pixels must be drawn over white.
  async detect(image, thresholds = {}) {
    const { score, iou, distance_weight } = { ...this.card.thresholds, ...thresholds };
    const place = planLetterbox(this.card, image);
    const feeds = {
      images: new ort.Tensor("uint8", drawCanvas(image, place, this.card.letterbox.fill), [1, ...place.canvas, 3]),
      score_threshold: new ort.Tensor("float32", [score], [1]),
      iou_threshold: new ort.Tensor("float32", [iou], [1]),
      distance_weight: new ort.Tensor("float32", [distance_weight], [1]),
    };
    const { detections, count } = await this.session.run(feeds);
    const rows = Array.from({ length: Math.min(count.data[0], this.card.max_detections) }, (_, i) =>
      detections.data.subarray(6 * i, 6 * i + 6));
    return rows.map(([x1, y1, x2, y2, confidence, classId]) => ({
      label: this.card.class_names[classId],
      class_id: classId,
      score: confidence,
      box: toImage([x1, y1, x2, y2], place, image),
    }));
  }
}

// Return where the image lies on its canvas. Sizes are [height, width], as in the card.
function planLetterbox(card, image) {
  const { align, rounding, scale_up } = card.letterbox;
  if (align === "stretch") {
    const scale = [card.input_size[0] / image.height, card.input_size[1] / image.width];
    return { canvas: card.input_size, resized: card.input_size, corner: [0, 0], scale, offset: [0, 0] };
  }
  if (rounding === "floor" && align === "center") throw new Error("Darknet's letterbox is not part of this example");
  const fit = Math.min(card.input_size[0] / image.height, card.input_size[1] / image.width);
  const gain = scale_up ? fit : Math.min(fit, 1);
  const toInt = rounding === "round" ? roundHalfEven : Math.floor;
  const resized = [image.height, image.width].map((side) => Math.max(toInt(side * gain), 1));
  const canvas = card.input_size.map((side, i) =>  // whole strides of the border are cut off
    card.dynamic_size && card.shapes === "buckets" ? resized[i] + ((side - resized[i]) % card.stride) : side);
  if (align === "top_left") return { canvas, resized, corner: [0, 0], scale: [gain, gain], offset: [0, 0] };
  const corner = canvas.map((side, i) => roundHalfEven((side - resized[i]) / 2 - 0.1));
  const offset = [canvas[0] - image.height * gain, canvas[1] - image.width * gain].map((border) => border / 2);
  return { canvas, resized, corner, scale: [gain, gain], offset };
}

// Return the RGB pixels of the canvas: the image, resized bilinearly, and a border of `fill`.
function drawCanvas(image, { canvas, resized, corner }, fill) {
  const pixels = new Uint8Array(canvas[0] * canvas[1] * 3).fill(fill);
  const rows = sampleAxis(image.height, resized[0]);
  const columns = sampleAxis(image.width, resized[1]);
  for (let y = 0; y < resized[0]; y++) {
    const upper = 4 * image.width * rows.first[y];
    const lower = 4 * image.width * rows.second[y];
    let at = 3 * ((corner[0] + y) * canvas[1] + corner[1]);
    for (let x = 0; x < resized[1]; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const top = blend(image.data, upper + channel, columns, x);
        const bottom = blend(image.data, lower + channel, columns, x);
        const sum = ((rows.share[y][0] * (top >> 4)) >> 16) + ((rows.share[y][1] * (bottom >> 4)) >> 16);
        pixels[at++] = (sum + 2) >> 2;
      }
    }
  }
  return pixels;
}

function blend(data, start, { first, second, share }, x) {
  return data[start + 4 * first[x]] * share[x][0] + data[start + 4 * second[x]] * share[x][1];
}

// Return the two input pixels that each output pixel lies between, and their shares in 2048ths: OpenCV's arithmetic, so
// that every pixel equals the server's.
function sampleAxis(from, to) {
  const axis = { first: [], second: [], share: [] };
  for (let i = 0; i < to; i++) {
    const center = Math.fround((i + 0.5) * (from / to) - 0.5);
    const first = Math.min(Math.max(Math.floor(center), 0), from - 1);
    const share = center < 0 || first === from - 1 ? 0 : Math.fround(center - first);
    axis.first.push(first);
    axis.second.push(Math.min(first + 1, from - 1));
    axis.share.push([roundHalfEven((1 - share) * 2048), roundHalfEven(share * 2048)]);
  }
  return axis;
}

function toImage(box, { scale, offset }, image) {
  const limits = [image.width, image.height];
  return box.map((value, i) => {
    const axis = 1 - (i % 2);  // scale and offset are (y, x)
    return Math.min(Math.max((value - offset[axis]) / scale[axis], 0), limits[i % 2]);
  });
}

function roundHalfEven(value) {
  const down = Math.floor(value);
  return value - down === 0.5 ? down + (down % 2) : Math.round(value);
}
