// Cameras of the browser, with errors that a person can act on.

const PROBLEMS = {
  NotAllowedError: "The camera is not allowed for this page. Allow it beside the address, then start again.",
  NotFoundError: "No camera was found. Connect one, or choose a video file.",
  OverconstrainedError: "This camera is not there any more. Choose another one.",
  NotReadableError: "The camera is in use by another program. Close that, then start again.",
};

// Return the stream of a camera.
export async function openCamera(deviceId) {
  if (!navigator.mediaDevices) throw new Error("Browsers open cameras on https:// and localhost only. Use one of these addresses.");
  const video = { width: { ideal: 1280 }, frameRate: { ideal: 30 }, ...(deviceId && { deviceId: { exact: deviceId } }) };
  try {
    return await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    throw new Error(PROBLEMS[error.name] ?? `The camera does not start: ${error.message}`);
  }
}

// List [id, name] of the cameras. Browsers name them once a camera is allowed.
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId, label }, i) => [deviceId, label || `Camera ${i + 1}`]);
}
