// Requests to the server, with the API key of this tab.

import { toJpeg } from "./convert.js";

export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status; // 0: no answer
  }
}

export const key = () => sessionStorage.getItem("key") ?? ""; // forgotten when the tab closes
export const setKey = (value) => (value ? sessionStorage.setItem("key", value) : sessionStorage.removeItem("key"));

// Return the response, or throw a `Problem` that a person can read. A refused key fires the event "access" on window.
export async function call(address, options = {}) {
  const headers = { ...options.headers, ...(key() && { Authorization: `Bearer ${key()}` }) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(`The server does not answer.${navigator.onLine ? "" : " You are offline."}`);
  }
  if (response.ok) return response;
  if (response.status === 401) window.dispatchEvent(new Event("access"));
  const body = await response.json().catch(() => ({}));
  throw new Problem(body.detail ?? `The server answered ${response.status} ${response.statusText}.`, response.status);
}

export const getJson = async (address) => (await call(address)).json();

// Return the answer of POST /detect for one image. One in a format that only the browser knows is sent as JPEG.
export async function detect(blob, name, params, signal) {
  try {
    return await send(blob, name, params, signal);
  } catch (error) {
    const converted = error.status === 415 ? await toJpeg(blob) : null;
    if (!converted) throw error;
    return send(converted, name, params, signal);
  }
}

async function send(blob, name, params, signal) {
  const form = new FormData();
  form.append("file", blob, name);
  return (await call(`detect?${params}`, { method: "POST", body: form, signal })).json();
}
