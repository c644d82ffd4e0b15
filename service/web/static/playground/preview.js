// An image of a file that the browser cannot show, such as TIFF.

import { call } from "./api.js";

// Return a blob that the browser can show.
export async function preview(blob) {
  return (await call("preview", { method: "POST", body: blob, headers: { "Content-Type": "image/*" } })).blob();
}
