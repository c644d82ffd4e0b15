// Pairs of detections of two models: the same label, and an IoU of at least 0.5.

export const MIN_IOU = 0.5;

export function iou([a, b, c, d], [e, f, g, h]) {
  const shared = Math.max(0, Math.min(c, g) - Math.max(a, e)) * Math.max(0, Math.min(d, h) - Math.max(b, f));
  return shared / ((c - a) * (d - b) + (g - e) * (h - f) - shared) || 0;
}

// Return pairs [i, j], the largest overlap first. Each detection is in one pair at most.
export function match(first, second) {
  const pairs = [];
  first.forEach((a, i) => second.forEach((b, j) => {
    const overlap = a.label === b.label ? iou(a.box, b.box) : 0;
    if (overlap >= MIN_IOU) pairs.push([overlap, i, j]);
  }));
  const [left, right] = [new Set(), new Set()];
  return pairs.sort(([a], [b]) => b - a).filter(([, i, j]) => !left.has(i) && !right.has(j) && left.add(i) && right.add(j))
    .map(([, i, j]) => [i, j]);
}

// Count [label, matched, only first, only second], the most different labels first.
export function count(first, second, pairs) {
  const counts = new Map();
  const row = (label) => counts.get(label) ?? counts.set(label, [label, 0, 0, 0]).get(label);
  const [left, right] = [new Set(pairs.map(([i]) => i)), new Set(pairs.map(([, j]) => j))];
  first.forEach(({ label }, i) => { row(label)[left.has(i) ? 1 : 2] += 1; });
  second.forEach(({ label }, j) => { if (!right.has(j)) row(label)[3] += 1; });
  return [...counts.values()].sort((a, b) => b[2] + b[3] - a[2] - a[3] || b[1] - a[1] || a[0].localeCompare(b[0]));
}
