"""Design systems of each split, with sampling weights. A system is in one split only.

Systems with many themes have larger weights, and so has `generic`, whose style is random on every page.
"""

from __future__ import annotations

TRAIN: list[tuple[str, float]] = [
    ("generic", 6),
    ("bootstrap", 2),
    ("bootswatch", 3),
    ("bulma", 1.5),
    ("pico", 1.5),
    ("spectre", 1),
    ("foundation", 1),
    ("daisyui", 2.5),
    ("chota", 1),
    ("milligram", 0.7),
    ("purecss", 0.7),
    ("classless", 1.3),
    ("native", 1),
    ("antd", 2),
    ("element-plus", 2),
    ("materialize", 1.5),
    ("beercss", 1.5),
    ("govuk", 1),
]
VAL: list[tuple[str, float]] = [("uikit", 1), ("primer", 1)]
TEST: list[tuple[str, float]] = [("fomantic", 1), ("patternfly", 1), ("carbon", 1)]
