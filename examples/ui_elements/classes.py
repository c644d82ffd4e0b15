"""What is labeled, and the size below which nothing is."""

from __future__ import annotations

CLASSES = {
    "button": "something to press that has a body of its own: a fill, an outline or a shadow",
    "link": "text to press without a body; one box for every line of it",
    "text_field": "a frame or line to type into, of one line or many, with what stands in it",
    "checkbox": "the box to tick alone, without its label",
    "radio": "the ring to choose alone, without its label",
    "dropdown": "a closed choice with its arrow: a select, or a button that opens a list",
    "slider": "a track with a thumb",
    "toggle": "a switch that is wider than high, without its label",
    "tab": "one tab of a row: its body where it has one, else its text and icon with the line beneath",
    "image": "a photo, an illustration, a chart or an avatar with a picture",
    "icon": "a symbol that is not inside one of the controls above",
    "heading": "a title, or large text that is set apart; one box around all its lines",
    "table": "rows and columns of data",
}
NAMES = tuple(CLASSES)
SMALLEST = 6  # pixels of the page, the longer side, and half of it for the shorter: less is not labeled
SMALLEST_SEEN = 3  # the shorter side, in pixels of the picture when its longer side is 640
