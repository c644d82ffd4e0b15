// Camera and video: the newest frame goes to /ws/detect, and the boxes of the answer are drawn over the video.

import { listCameras, openCamera } from "./camera.js";
import { element, plural } from "./dom.js";
import { Frames } from "./frames.js";
import { paint, toShapes } from "./paint.js";
import { maxIou, minScore, query, state, subscribe } from "./state.js";

const WINDOW = 2000; // milliseconds over which the rate is measured
const TEMPLATE = `
  <div class="bar" role="group" aria-label="Source">
    <label>Camera <select id="camera"><option value="">Default</option></select></label>
    <label>Frame <select id="side"><option value="320">320 px</option><option value="640" selected>640 px</option><option value="1280">1280 px</option></select></label>
    <button type="button" id="start" class="primary">Start camera</button>
    <button type="button" id="stop" disabled>Stop</button>
    <input id="video-file" type="file" accept="video/*" class="away">
    <label class="button" for="video-file">Choose a video</label>
  </div>
  <p id="live-status" role="status">No source yet</p>
  <p id="live-problem" role="alert" hidden></p>
  <div id="screen">
    <video id="video" muted playsinline loop aria-label="Source"></video>
    <canvas id="boxes" aria-hidden="true"></canvas>
    <p id="live-empty">Start a camera, or choose or drop a video file. Frames go to this server only.</p>
  </div>
  <dl id="rates">
    <div><dt>Rate</dt><dd><output id="rate">-</output></dd></div>
    <div><dt>Latency</dt><dd><output id="latency">-</output></dd></div>
    <div><dt>Server</dt><dd><output id="server">-</output></dd></div>
    <div><dt>Objects</dt><dd><output id="objects">-</output></dd></div>
  </dl>`;

let $; // of the ids above
let wanted = false; // whether frames are sent
let session = 0; // number of the start
let fresh = false; // whether the video has a frame that was not sent
let encoding = false;
let url = "";
let shown = null; // the latest answer
const arrivals = [];
const canvas = document.createElement("canvas");
const frames = new Frames({ answer: take, state: connection });

export function mount(section) {
  section.innerHTML = TEMPLATE;
  $ = Object.fromEntries([...section.querySelectorAll("[id]")].map((part) => [part.id, part]));
  $.start.addEventListener("click", startCamera);
  $.camera.addEventListener("change", () => wanted && $.video.srcObject && startCamera());
  $.stop.addEventListener("click", () => stop("Stopped"));
  $["video-file"].addEventListener("change", ({ target }) => {
    if (target.files.length) startFile(target.files[0]);
    target.value = "";
  });
  section.addEventListener("drop", (event) => {
    const file = [...event.dataTransfer.files].find(({ type }) => type.startsWith("video/"));
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    document.body.classList.remove("dragging");
    startFile(file);
  });
  section.addEventListener("hide", () => stop(wanted ? "Stopped" : ""));
  $.video.addEventListener("error", () => $.video.src && fail(`The browser cannot play ${$.video.title}. Expected MP4 (H.264) or WebM.`));
  for (const name of ["play", "seeked", "loadeddata"]) $.video.addEventListener(name, offer);
  new ResizeObserver(draw).observe($.screen);
  navigator.mediaDevices?.addEventListener("devicechange", showCameras);
  showCameras();
  subscribe(["model", "version", "key"], () => wanted && connect());
  subscribe(["score", "iou", "nms", "classes", "card"], () => {
    frames.change(options());
    offer(); // a paused video, too
  });
}

const options = () => ({ score: minScore(), iou: maxIou(), nms: state.nms || null, classes: state.classes.size ? [...state.classes] : null });

async function showCameras() {
  const chosen = $.camera.value;
  const cameras = (await listCameras()).filter(([id]) => id);
  $.camera.replaceChildren(new Option("Default", ""), ...cameras.map(([id, name]) => new Option(name, id)));
  $.camera.value = cameras.some(([id]) => id === chosen) ? chosen : "";
}

async function startCamera() {
  stop("Opening the camera …");
  const mine = session;
  try {
    const stream = await openCamera($.camera.value);
    if (mine !== session) return stream.getTracks().forEach((track) => track.stop()); // stopped meanwhile
    stream.getVideoTracks()[0].addEventListener("ended", () => fail("The camera was disconnected. Connect it, then start again."));
    Object.assign($.video, { srcObject: stream, controls: false, title: "camera" });
    showCameras();
    await start();
  } catch (error) {
    if (mine === session) fail(error.message);
  }
}

async function startFile(file) {
  stop("Opening the video …");
  url = URL.createObjectURL(file);
  Object.assign($.video, { src: url, controls: true, title: file.name });
  await start().catch(() => {}); // the event "error" has the reason
}

async function start() {
  wanted = true;
  connect();
  await $.video.play();
  $["live-empty"].hidden = true;
  $.stop.disabled = false;
  watch();
}

function stop(message) {
  wanted = fresh = false;
  session += 1;
  frames.close();
  for (const track of $.video.srcObject?.getTracks() ?? []) track.stop();
  $.video.pause();
  $.video.srcObject = null;
  $.video.removeAttribute("src");
  URL.revokeObjectURL(url);
  $["live-problem"].hidden = true;
  $["live-empty"].hidden = false;
  $.stop.disabled = true;
  $["live-status"].textContent = message;
  for (const name of ["rate", "latency", "server", "objects"]) $[name].textContent = "-";
  shown = null;
  arrivals.length = 0;
  draw();
}

function fail(message) {
  stop("");
  $["live-problem"].textContent = message;
  $["live-problem"].hidden = false;
}

function connect() {
  $["live-status"].textContent = "Connecting …";
  const params = query();
  for (const [name, value] of Object.entries(options())) params.delete(name), value !== null && !Array.isArray(value) && params.set(name, value);
  frames.open(params);
}

function connection(name, message = "") {
  if (name === "failed") return fail(message);
  $["live-status"].textContent = name === "lost" ? "The connection is lost. Connecting again …" : "Connected";
  if (name === "open") frames.change(options()), pump();
}

// Offer each new frame of the video.
function watch() {
  if (!wanted) return;
  const next = $.video.requestVideoFrameCallback ?? requestAnimationFrame;
  next.call($.video.requestVideoFrameCallback ? $.video : window, () => {
    offer();
    watch();
  });
}

function offer() {
  fresh = true;
  pump();
}

// Send the newest frame, if the server can take one.
function pump() {
  const { videoWidth: width, videoHeight: height } = $.video;
  if (!wanted || !fresh || encoding || !width || !frames.ready) return;
  fresh = false;
  encoding = true;
  const scale = Math.min(1, $.side.value / Math.max(width, height));
  [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  canvas.getContext("2d", { willReadFrequently: true }).drawImage($.video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    encoding = false;
    if (wanted && blob) frames.send(blob);
  }, "image/jpeg", 0.8);
}

function take(answer, latency) {
  if (!wanted) return;
  pump();
  $["live-problem"].hidden = !answer.error;
  if (answer.error) return void ($["live-problem"].textContent = answer.error.detail);
  shown = answer;
  draw();
  rates(answer, latency);
}

function rates({ detections, timing_ms: times }, latency) {
  const now = performance.now();
  arrivals.push(now);
  while (arrivals[0] < now - WINDOW) arrivals.shift();
  const seconds = (now - arrivals[0]) / 1000;
  $.rate.textContent = seconds > 0.5 ? `${((arrivals.length - 1) / seconds).toFixed(1)} frames/s` : "-";
  $.latency.textContent = `${latency.toFixed(0)} ms`;
  $.server.textContent = `${times.total.toFixed(0)} ms`;
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  const names = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b)).map(([label, count]) => [element("bdi", { textContent: label }), ` ${count}`]);
  $.objects.replaceChildren(...(names.length ? names.flatMap((pair, i) => (i ? [", ", ...pair] : pair)) : [plural(0, "detection")]));
}

function draw() {
  const { clientWidth: width, clientHeight: height } = $.screen;
  const ratio = devicePixelRatio || 1;
  Object.assign($.boxes, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  if (!shown || !wanted) return;
  const context = $.boxes.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const scale = Math.min(width / shown.width, height / shown.height);
  const [left, top] = [(width - shown.width * scale) / 2, (height - shown.height * scale) / 2];
  const bounds = { left, top, right: width - left, bottom: height - top };
  paint(context, toShapes(shown.detections), { scale, left, top, bounds });
}
