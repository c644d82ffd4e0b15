"""Classes of interface elements and the smallest element that is labeled."""

from __future__ import annotations

CLASSES = {
    "button": "a clickable element with a visible body: a fill, an outline or a shadow",
    "link": "clickable text without a body, with one box per line",
    "text_field": "a frame or line to type into, of one or more lines, with its content",
    "checkbox": "the box alone, without its label",
    "radio": "the ring alone, without its label",
    "dropdown": "a closed select, or a button that opens a list, with its arrow",
    "slider": "a track with a thumb",
    "toggle": "a switch wider than high, without its label",
    "tab": "one tab of a row: its body, or its text and icon with the line below",
    "image": "an illustration, a photograph, a chart or an avatar that is not a letter",
    "icon": "a symbol outside the controls above",
    "heading": "a title or large separate text, with one box around all its lines",
    "table": "rows and columns of data",
}
NAMES = tuple(CLASSES)
MIN_SIDE = 6  # of the longer side, in pixels of the page; the shorter side needs half of it
MIN_VISIBLE_SIDE = 3  # of the shorter side, in pixels of the image resized to 640
