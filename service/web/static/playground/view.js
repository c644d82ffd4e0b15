// One image with boxes on a canvas: zoom and pan with wheel, fingers and keys, and the detection under the pointer.

import { paint } from "./paint.js";

const MAX_SCALE = 40; // screen pixels of an image pixel
const FIT_SCALE = 4; // small images are enlarged up to this
const STEP = 1.25;
const PAN = 60;

const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

export class View {
  // `host` is a positioned element. Callbacks: hover(id or null), select(id or null), drawn({ hidden, zoom }).
  constructor(host, { hover = () => {}, select = () => {}, drawn = () => {} } = {}) {
    Object.assign(this, { host, onHover: hover, onSelect: select, onDrawn: drawn });
    this.canvas = host.appendChild(document.createElement("canvas"));
    this.context = this.canvas.getContext("2d");
    Object.assign(this, { source: null, width: 0, height: 0, shapes: [], labels: true, lit: null, zoom: 1, x: 0, y: 0 });
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(host);
    this.listen();
  }

  // Show an image, a canvas or a video (anything that drawImage accepts), or null. A new size resets zoom and pan.
  show(source, width = source?.width ?? 0, height = source?.height ?? 0) {
    const same = width === this.width && height === this.height;
    Object.assign(this, { source, width, height });
    if (!same) this.fit();
    this.redraw();
  }

  // Draw shapes (paint.js) in pixels of the image. The first have priority.
  draw(shapes) {
    this.shapes = shapes;
    this.redraw();
  }

  set({ labels = this.labels, lit = this.lit }) {
    Object.assign(this, { labels, lit });
    this.redraw();
  }

  fit() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.redraw();
  }

  zoomBy(factor, x = this.host.clientWidth / 2, y = this.host.clientHeight / 2) {
    const before = this.transform();
    this.zoom = clamp(this.zoom * factor, 1, Math.max(1, MAX_SCALE / this.fitScale()));
    const ratio = this.transform().scale / before.scale;
    const after = this.transform();
    this.moveBy(x - (x - before.left) * ratio - after.left, y - (y - before.top) * ratio - after.top);
  }

  // Pan, as far as the image stays in view.
  moveBy(dx, dy) {
    const spare = (size, extent) => Math.max(0, (size * this.fitScale() * this.zoom - extent) / 2);
    const [maxX, maxY] = [spare(this.width, this.host.clientWidth), spare(this.height, this.host.clientHeight)];
    this.x = clamp(this.x + dx, -maxX, maxX);
    this.y = clamp(this.y + dy, -maxY, maxY);
    this.redraw();
  }

  fitScale() {
    const { clientWidth: width, clientHeight: height } = this.host;
    return Math.min(width / (this.width || 1), height / (this.height || 1), FIT_SCALE) || 1;
  }

  // Scale and position of the image in the host, in CSS pixels.
  transform() {
    const scale = this.fitScale() * this.zoom;
    const left = (this.host.clientWidth - this.width * scale) / 2 + this.x;
    const top = (this.host.clientHeight - this.height * scale) / 2 + this.y;
    return { scale, left, top };
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.host.clientWidth * ratio);
    this.canvas.height = Math.round(this.host.clientHeight * ratio);
    cancelAnimationFrame(this.frame);
    this.moveBy(0, 0);
    this.render(); // at once: a resized canvas is empty
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  render() {
    const { context, host } = this;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, host.clientWidth, host.clientHeight);
    host.classList.toggle("zoomed", this.zoom > 1);
    if (!this.source) return this.onDrawn({ hidden: 0, zoom: 1 });
    const { scale, left, top } = this.transform();
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.source, left, top, this.width * scale, this.height * scale);
    const bounds = { left: 0, top: 0, right: host.clientWidth, bottom: host.clientHeight };
    const size = bounds.right < 600 ? 10 : 11; // of the text
    const hidden = paint(context, this.shapes, { scale, left, top, bounds, size, labels: this.labels, lit: this.lit });
    this.onDrawn({ hidden, zoom: scale });
  }

  // The id of the smallest shape under a point of the host, or null. A few pixels of tolerance help with tiny boxes.
  at(x, y) {
    const { scale, left, top } = this.transform();
    const [px, py, slack] = [(x - left) / scale, (y - top) / scale, 3 / scale];
    const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    const under = this.shapes.filter(({ box: [x1, y1, x2, y2] }) =>
      px >= x1 - slack && px <= x2 + slack && py >= y1 - slack && py <= y2 + slack);
    return under.sort((a, b) => area(a) - area(b))[0]?.id ?? null;
  }

  // Zoom until a box is large enough to be seen, and move it to the center.
  reveal(id) {
    const box = this.shapes.find((shape) => shape.id === id)?.box;
    if (!box) return;
    const { scale, left, top } = this.transform();
    const [x, y] = [((box[0] + box[2]) / 2) * scale + left, ((box[1] + box[3]) / 2) * scale + top];
    const outside = x < 0 || y < 0 || x > this.host.clientWidth || y > this.host.clientHeight;
    if (outside) this.moveBy(this.host.clientWidth / 2 - x, this.host.clientHeight / 2 - y);
  }

  listen() {
    const { host } = this;
    host.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    host.addEventListener("keydown", (event) => this.press(event));
    host.addEventListener("pointerdown", (event) => this.down(event));
    host.addEventListener("pointermove", (event) => this.move(event));
    host.addEventListener("pointerup", (event) => this.up(event));
    host.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    host.addEventListener("pointerleave", () => this.onHover(null));
    host.addEventListener("dblclick", (event) => (this.zoom > 1 ? this.fit() : this.zoomBy(3, ...this.point(event))));
  }

  point(event) {
    const frame = this.host.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  wheel(event) {
    if (!this.source || (this.zoom === 1 && event.deltaY > 0 && !event.ctrlKey)) return; // the page scrolls
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? 30 * event.deltaY : event.deltaY;
    this.zoomBy(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), ...this.point(event)); // ctrlKey: a pinch on a touchpad
  }

  press(event) {
    const moves = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };
    if (event.target !== this.host || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") this.zoomBy(STEP);
    else if (event.key === "-") this.zoomBy(1 / STEP);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.onSelect(null);
    else if (moves[event.key] && this.zoom > 1) this.moveBy(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  down(event) {
    if (event.target !== this.canvas || event.button !== 0) return;
    this.host.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.point(event));
    this.moved = this.pointers.size > 1;
  }

  move(event) {
    const [x, y] = this.point(event);
    if (!this.pointers.has(event.pointerId)) return this.onHover(event.target === this.canvas ? this.at(x, y) : null);
    const before = [...this.pointers.values()];
    const [oldX, oldY] = this.pointers.get(event.pointerId);
    if (!this.moved && Math.hypot(x - oldX, y - oldY) < 4) return;
    this.moved = true;
    this.pointers.set(event.pointerId, [x, y]);
    if (before.length === 1) return this.moveBy(x - oldX, y - oldY);
    this.pinch(before, [...this.pointers.values()]);
  }

  pinch([a, b], [c, d]) {
    const middle = ([x1, y1], [x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
    const distance = ([x1, y1], [x2, y2]) => Math.hypot(x1 - x2, y1 - y2) || 1;
    const [from, to] = [middle(a, b), middle(c, d)];
    this.zoomBy(distance(c, d) / distance(a, b), ...from);
    this.moveBy(to[0] - from[0], to[1] - from[1]);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || this.moved) return;
    this.onSelect(this.at(...this.point(event)));
  }
}
