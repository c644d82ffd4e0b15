// Images to /ws/detect and their answers, over a connection that is opened again when it is lost.

import { call, key } from "./api.js";

const MAX_PENDING = 2; // one in work, and one that waits
const PATIENCE = 2000; // milliseconds after which a dropped image no longer counts as pending
const DELAYS = [250, 500, 1000, 2000, 4000, 8000];
const FINAL = new Set([1002, 1007, 1008, 1009]); // closed because of what this page sent

const base64url = (text) => btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export class Frames {
  // Callbacks: answer(document, latency in milliseconds), state(name, message): "open", "lost" or "failed".
  constructor({ answer, state }) {
    Object.assign(this, { answer, state, socket: null, tries: 0 });
  }

  // Connect with these options (URLSearchParams).
  open(params) {
    this.close();
    const address = new URL(`ws/detect?${params}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, key() ? ["lineage.detect", `lineage.key.${base64url(key())}`] : []);
    Object.assign(this, { socket, params, sent: 0, answered: 0, times: new Map(), last: 0, reason: "" });
    socket.onopen = () => {
      this.tries = 0;
      this.state("open");
    };
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.lost(code);
  }

  // Whether the newest image may be sent now.
  get ready() {
    const waiting = this.sent - this.answered < MAX_PENDING || performance.now() - this.last > PATIENCE;
    return this.socket?.readyState === WebSocket.OPEN && waiting;
  }

  send(blob) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.last = performance.now();
    this.times.set(this.sent++, this.last);
    this.socket.send(blob);
  }

  // Change options for the images to come. null restores the model's default.
  change(options) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(options));
  }

  receive(document) {
    if (document.error) this.reason = document.error.detail;
    if (document.frame === undefined) return this.state("open", this.reason);
    const latency = performance.now() - this.times.get(document.frame);
    for (let frame = this.answered; frame <= document.frame; frame += 1) this.times.delete(frame);
    this.answered = document.frame + 1;
    this.answer(document, latency);
  }

  async lost(code) {
    this.socket = null;
    if (FINAL.has(code)) return this.state("failed", this.reason || `The server closed the connection (${code}).`);
    const problem = await this.refusal();
    if (problem) return this.state("failed", problem);
    this.state("lost");
    this.timer = setTimeout(() => this.open(this.params), DELAYS[Math.min(this.tries++, DELAYS.length - 1)]);
  }

  // Browsers do not say why a handshake failed. The answer to a plain request does.
  async refusal() {
    const error = await call("ws/detect").then(() => null, (caught) => caught);
    return [401, 403, 404].includes(error?.status) ? error.message : null;
  }

  close() {
    clearTimeout(this.timer);
    if (this.socket) Object.assign(this.socket, { onclose: null, onmessage: null }).close();
    this.socket = null;
  }
}
