// The report on shadow versions, drawn from shadow/report and refreshed every few seconds.

const KINDS = ["same", "moved", "rescored", "lost", "found"];
const MEANING = {
  same: "same", moved: "moved", rescored: "rescored", lost: "lost: only in the answer", found: "found: only in the shadow",
};
const SECONDS = 5;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const drawn = new Map(); // addresses of the images by their entry in the report: a restarted server counts from 1 again

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

async function get(address) {
  const key = sessionStorage.getItem("key");
  const answer = await fetch(address, { headers: key ? { "X-Api-Key": key } : {}, cache: "no-store" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
  throw Object.assign(new Error(problem.detail), { status: answer.status });
}

async function refresh() {
  try {
    const report = await (await get("shadow/report")).json();
    await show(report);
    $("problem").hidden = $("access").hidden = true;
    $("updated").textContent = `Updated ${new Date().toLocaleTimeString("en")}`;
  } catch (error) {
    $("problem").textContent = error.status ? error.message : "The server does not answer.";
    $("problem").hidden = false;
    $("access").hidden = ![401, 403].includes(error.status);
  }
}

async function show(report) {
  $("empty").hidden = report.comparisons.length > 0;
  const scrolled = [...document.querySelectorAll(".scroll")].map((table) => table.scrollTop);
  $("comparisons").replaceChildren(...report.comparisons.map(comparison));
  document.querySelectorAll(".scroll").forEach((table, i) => { table.scrollTop = scrolled[i] ?? 0; });
  $("limits").textContent =
    `A pair has one label and an IoU of at least ${report.limits.match_iou}. It is moved below an IoU of ` +
    `${report.limits.same_iou}, and rescored if the scores differ by more than ${report.limits.same_score}. ` +
    `${number(report.waiting)} images wait. ` +
    (report.max_images ? `At most ${report.max_images} images are kept, in memory.` : "No image is kept (shadow_images is 0).");
  await showImages(report.images);
}

function comparison(data) {
  const total = KINDS.reduce((sum, kind) => sum + data.differences[kind], 0);
  const images = data.images;
  const lost = images.dropped || images.failed ? `, ${number(images.dropped)} dropped, ${number(images.failed)} failed` : "";
  const section = element("section", { className: "comparison" },
    element("h2", { textContent: `${data.model}: version ${data.shadow} compared with version ${data.primary}` }),
    element("p", {
      textContent: `${number(images.compared)} images${lost} since ${new Date(data.started).toLocaleString("en")}; ` +
        `${number(data.different_images)} differ`,
    }));
  if (data.last_failure) section.append(element("p", { className: "failure", textContent: `Last failure: ${data.last_failure}` }));
  section.append(element("div", { className: "tiles" }, ...KINDS.map((kind) => tile(kind, data.differences[kind], total))),
    element("div", { className: "histograms" },
      histogram("IoU of the pairs", data.iou), histogram("Score of the shadow minus score of the answer", data.score_change)));
  if (total) section.append(element("div", { className: "scroll" }, table(data.labels)));
  return section;
}

function tile(kind, count, total) {
  const share = total ? ` (${(100 * count / total).toFixed(1)} %)` : "";
  return element("div", { className: `tile ${kind}` },
    element("b", { textContent: number(count) }), element("span", { textContent: MEANING[kind] + share }));
}

function histogram(title, data) {
  const svg = document.createElementNS(SVG, "svg");
  const [bins, most] = [data.counts.length, Math.max(1, ...data.counts)];
  svg.setAttribute("viewBox", `0 0 ${bins * 10} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: ${data.counts.join(", ")}`);
  data.counts.forEach((count, i) => {
    const height = count ? Math.max(2, 94 * count / most) : 0;
    const bar = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x: i * 10 + 1, y: 100 - height, width: 8, height })) bar.setAttribute(name, value);
    const label = document.createElementNS(SVG, "title");
    const edge = (n) => (data.low + n * (data.high - data.low) / bins).toFixed(3);
    label.textContent = `${edge(i)} to ${edge(i + 1)}: ${number(count)}`;
    bar.append(label);
    svg.append(bar);
  });
  const middle = (data.low + data.high) / 2;
  return element("div", { className: "histogram" }, element("h3", { textContent: title }), svg,
    element("div", { className: "axis" }, ...[data.low, middle, data.high].map((v) => element("span", { textContent: v }))));
}

function table(labels) {
  const differences = (counts) => KINDS.slice(1).reduce((sum, kind) => sum + counts[kind], 0);
  const rows = Object.entries(labels).sort(([, a], [, b]) => differences(b) - differences(a));
  const head = element("tr", {}, element("th", { scope: "col", textContent: "label" }),
    ...KINDS.map((kind) => element("th", { scope: "col", className: "number", textContent: kind })),
    element("th", { scope: "col", textContent: "shares" }));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows.map(([label, counts]) => row(label, counts))));
}

function row(label, counts) {
  const cells = KINDS.map((kind) => element("td", { className: counts[kind] ? "number" : "number zero", textContent: number(counts[kind]) }));
  const bar = element("div", { className: "bar" }, ...KINDS.map((kind) => {
    const part = element("i", { className: kind });
    part.style.flex = `${counts[kind]} 0 0`;
    return part;
  }));
  return element("tr", {}, element("th", { scope: "row", textContent: label }), ...cells, element("td", {}, bar));
}

async function showImages(images) {
  $("examples").hidden = images.length === 0;
  const kept = new Map(images.map((image) => [JSON.stringify(image), image.number]));
  for (const [entry, address] of drawn) {
    if (!kept.has(entry)) URL.revokeObjectURL(address), drawn.delete(entry);
  }
  for (const [entry, number] of kept) {
    if (!drawn.has(entry)) await load(entry, number).catch(() => {}); // the server may have replaced it meanwhile
  }
  const shown = images.filter((image) => drawn.has(JSON.stringify(image)));
  $("images").replaceChildren(...shown.map(figure));
}

async function load(entry, number) {
  drawn.set(entry, URL.createObjectURL(await (await get(`shadow/images/${number}`)).blob()));
}

function figure(image) {
  const text = Object.entries(image.labels).map(([label, counts]) => {
    const found = KINDS.slice(1).filter((kind) => counts[kind]).map((kind) => `${counts[kind]} ${kind}`);
    return found.length ? `${label}: ${found.join(", ")}` : "";
  }).filter(Boolean).join("; ");
  return element("figure", {},
    element("img", { src: drawn.get(JSON.stringify(image)), alt: `Answer of version ${image.primary} beside version ${image.shadow}` }),
    element("figcaption", { textContent: `${image.model}: ${text}` }));
}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value);
  refresh();
});
setInterval(refresh, SECONDS * 1000);
refresh();
