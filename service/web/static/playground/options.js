// The sliders and the suppression, kept equal to the state. Values of the model's card are shown where none is chosen.

import { $ } from "./dom.js";
import { maxIou, minScore, state, subscribe, update } from "./state.js";

function show() {
  const nms = state.card && (state.card.thresholds.distance_weight > 0 ? "DIoU" : "IoU");
  for (const [id, value] of [["score", minScore()], ["iou", maxIou()]]) {
    $(id).value = value;
    $(`${id}-value`).textContent = value.toFixed(2);
  }
  $("nms").value = state.nms;
  $("nms").options[0].textContent = nms ? `Default (${nms})` : "Default";
  $("reset").disabled = state.score === null && state.iou === null && !state.nms && !state.classes.size;
}

$("score").addEventListener("input", ({ target }) => update({ score: Number(target.value) }));
$("iou").addEventListener("input", ({ target }) => update({ iou: Number(target.value) }));
$("nms").addEventListener("change", ({ target }) => update({ nms: target.value }));
$("reset").addEventListener("click", () => update({ score: null, iou: null, nms: "", classes: new Set() }));
subscribe(["score", "iou", "nms", "classes", "card"], show);
