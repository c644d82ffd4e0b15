// Placement of labels: beside each other, and never over a small object.

const MAX_COVERED = 0.15; // share of a box that a label may cover

const overlap = (a, b) =>
  Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left))
  * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
const area = (box) => (box.right - box.left) * (box.bottom - box.top);

// Return the place { left, top, right, bottom } of each label, or null where no place is free.
// `boxes` and `bounds` have left, top, right and bottom, `sizes` have width and height. Earlier boxes choose first.
export function placeLabels(boxes, sizes, bounds) {
  const visible = boxes.map((box) => clip(box, bounds));
  const seen = visible.filter(Boolean);
  const placed = [];
  return visible.map((box, i) => {
    const place = box && candidates(box, sizes[i]).find((label) => fits(label, bounds, placed, seen));
    if (place) placed.push(place);
    return place ?? null;
  });
}

function fits(label, bounds, placed, boxes) {
  return label.left >= bounds.left && label.top >= bounds.top && label.right <= bounds.right && label.bottom <= bounds.bottom
    && placed.every((other) => overlap(label, other) === 0)
    && boxes.every((box) => overlap(label, box) <= MAX_COVERED * area(box));
}

// Places around a box, the best first: above, below, beside, and inside where the box is large.
function candidates({ left, top, right, bottom }, { width, height }) {
  const corners = [
    [left, top - height], [left, bottom], [right - width, top - height], [right - width, bottom],
    [right, top], [left - width, top], [right, bottom - height], [left - width, bottom - height],
    [left, top], [right - width, top], [left, bottom - height], [right - width, bottom - height],
  ];
  return corners.map(([x, y]) => ({ left: x, top: y, right: x + width, bottom: y + height }));
}

function clip(box, bounds) {
  const [left, top] = [Math.max(box.left, bounds.left), Math.max(box.top, bounds.top)];
  const [right, bottom] = [Math.min(box.right, bounds.right), Math.min(box.bottom, bounds.bottom)];
  return left < right && top < bottom ? { left, top, right, bottom } : null;
}
