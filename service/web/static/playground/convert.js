// Formats that this browser can decode and the server cannot: AVIF, or HEIF in Safari.

// Return the image as JPEG, as displayed, or null if the browser cannot decode it either.
export async function toJpeg(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.95); });
}
