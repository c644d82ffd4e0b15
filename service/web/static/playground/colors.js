// The colors of classes, as the server draws them.

// Golden-ratio steps keep the hues of nearby classes apart. Returns [red, green, blue].
export function classColor(classId) {
  const [saturation, value] = [[0.85, 0.95], [0.6, 1.0], [0.9, 0.7]][classId % 3];
  const part = (n) => {
    const k = (n + ((classId * 0.618034) % 1) * 6) % 6;
    return Math.round(255 * (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

// Black or white, whichever has the higher contrast (WCAG 2).
export function textColor(rgb) {
  const [r, g, b] = rgb.map((v) => (v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

export const css = (rgb) => `rgb(${rgb.join(" ")})`;
