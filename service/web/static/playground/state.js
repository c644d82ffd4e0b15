// The state of the page: the model, its options and the images. The options are in the address (deep link).

import { debounce } from "./dom.js";

export const MIN_SCORE = 0.05; // of a request: the slider filters the answer down to it, without another request
const IN_ADDRESS = ["model", "version", "score", "iou", "nms"]; // and the classes
export const SIDES = ["left", "right"]; // in the address of the comparison only
const subscribers = new Set();

// `null` and "" stand for the default of the server or of the model.
export const state = {
  models: [], // as in GET /models, without those that have no usable version
  card: null, // of the chosen version
  model: "",
  version: "", // a number or an alias
  score: null,
  iou: null,
  nms: "",
  classes: new Set(), // names of the classes to show; empty: all
  left: "", // the models of the comparison, with a version or an alias
  right: "",
  items: [], // the images of the session (images.js)
  selected: null,
  panel: "images", // the chosen tab
};

// Change the state, and call the subscribers with the names of the changed members.
export function update(changes) {
  Object.assign(state, changes);
  const names = new Set(Object.keys(changes));
  if ([...IN_ADDRESS, ...SIDES, "classes", "panel"].some((name) => names.has(name))) writeAddress();
  for (const [wanted, run] of subscribers) if (wanted.some((name) => names.has(name))) run(names);
}

// Browsers limit how often the address changes, and a slider moves often.
const writeAddress = debounce(() => history.replaceState(null, "", link()), 200);

// Call `run` whenever one of the members changes.
export function subscribe(names, run) {
  subscribers.add([names, run]);
}

export const reference = () => (state.version ? `${state.model}@${state.version}` : state.model);
// The number of the chosen version of a model.
export const versionOf = (model) => model.aliases[state.version] ?? (Number(state.version) || model.default);
// "score" or "iou" as it applies: the chosen one, or that of the card. null: not known.
export const threshold = (name) => state[name] ?? state.card?.thresholds[name] ?? null;
export const minScore = () => threshold("score") ?? 0.25;
export const maxIou = () => threshold("iou") ?? 0.45;
export const isShown = (d) => d.score >= minScore() && (!state.classes.size || state.classes.has(d.label));

// The parameters of POST /detect. Without `exact`, the answer has more than is shown, for the slider and the classes.
// A lower min score or more classes change no other detection: suppression runs from high scores to low, class by class.
export function query({ exact = false } = {}) {
  const params = new URLSearchParams();
  if (state.model) params.set("model", reference());
  const [score, iou] = exact ? [threshold("score"), threshold("iou")] : [Math.min(MIN_SCORE, minScore()), state.iou];
  if (score !== null) params.set("score", score);
  if (iou !== null) params.set("iou", iou);
  if (state.nms) params.set("nms", state.nms);
  if (exact) for (const name of state.classes) params.append("classes", quoted(name));
  return params;
}

// A class name as POST /detect reads it: quoted if it has a comma or a quote.
export const quoted = (name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
const unquoted = (name) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);

// The address of this page with these options and, in the comparison, with both sides.
export function link() {
  const params = new URLSearchParams();
  const names = state.panel === "compare" ? [...IN_ADDRESS, ...SIDES] : IN_ADDRESS;
  for (const name of names) if (state[name] !== null && state[name] !== "") params.set(name, state[name]);
  for (const name of state.classes) params.append("classes", quoted(name));
  const text = params.toString();
  return location.pathname + (text && `?${text}`) + (state.panel === "images" ? "" : `#${state.panel}`);
}

// The options in the address of the page. Values that are not usable are ignored.
export function fromAddress() {
  const params = new URLSearchParams(location.search);
  const number = (name, low) => {
    const value = Number(params.get(name) ?? NaN);
    return value >= low && value <= 1 ? value : null;
  };
  const names = params.getAll("classes").flatMap((group) => group.match(/"(?:[^"]|"")*"|[^,]+/g) ?? []);
  return {
    model: params.get("model") ?? "",
    version: params.get("version") ?? "",
    score: number("score", 0.001),
    iou: number("iou", 0),
    nms: ["iou", "diou"].includes(params.get("nms")) ? params.get("nms") : "",
    classes: new Set(names.map((name) => unquoted(name.trim()))),
    left: params.get("left") ?? "",
    right: params.get("right") ?? "",
  };
}
