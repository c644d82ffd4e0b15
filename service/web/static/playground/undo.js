// One step back: what was removed, and a button that brings it back until the images change.

import { $ } from "./dom.js";
import { subscribe } from "./state.js";

let offered = null;

// Say what the click on `button` removed. `restore` brings it back.
export function offer(button, text, restore) {
  offered = { button, restore };
  $("removed").textContent = text;
  $("undo").hidden = false;
  $("undo").focus();
}

function withdraw() {
  offered = null; // frees the memory of the images
  $("removed").textContent = "";
  $("undo").hidden = true;
}

$("undo").addEventListener("click", () => {
  const { button, restore } = offered;
  withdraw();
  restore();
  button.focus();
});
subscribe(["items"], withdraw);
