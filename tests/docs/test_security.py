"""docs/security.md, compared with the code: settings, errors and metrics of all limits."""

from __future__ import annotations

import re

from service.api.problems import STATUS_BY_ERROR
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.docs.documents import table

# Settings that look like limits, but bound no client.
NOT_LIMITS = {"max_batch", "max_delay_ms", "cors_max_age", "decoders"}
METRIC = re.compile(r'(\w+)(?:\{reason="([\w-]+)"\})?')


def limits() -> list[list[str]]:
    return [[cell.strip("`") for cell in row] for row in table("docs/security.md", "Limits")]


def test_every_limit_has_a_setting_an_error_and_a_metric() -> None:
    names = {metric.name for metric in Metrics().registry.collect()}
    for what, setting, _, error, metric in limits():
        assert setting == "none" or setting in Settings.model_fields, what
        status, _, title = error.partition(" ")
        assert error.startswith("none:") or (int(status), title) in STATUS_BY_ERROR.values(), what
        name, reason = METRIC.fullmatch(metric).groups()  # type: ignore[union-attr]
        assert name.removesuffix("_total") in names, what
        if "refusals" in name:
            assert reason == title.lower().replace(" ", "-"), what


def test_every_setting_that_is_a_limit_is_listed() -> None:
    listed = {row[1] for row in limits()}
    for name, field in Settings.model_fields.items():
        text = str(field.description)
        if re.search(r"\bMax (?!.*log)|refused|allowed|Seconds (?:to receive|an inference)", text):
            assert name in listed | NOT_LIMITS, f"{name}: {text}"
