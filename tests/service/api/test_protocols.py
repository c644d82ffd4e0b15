"""Which addresses belong to which protocol."""

from __future__ import annotations

import pytest

from service.api.protocols import BY_NAME, is_health_check, protocol_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/detect", "native"),
        ("/admin/models/x/load", "admin"),
        ("/v2", "oip"),
        ("/v2/models/x/infer", "oip"),
        ("/v1/vision/detection", "deepstack"),
        ("/doods/detect", "doods"),
        ("/infer/object_detection", "roboflow"),
        ("/label-studio/predict", "label-studio"),
        ("/my-project/3", "roboflow-hosted"),
        ("/model/3", "roboflow-hosted"),
        ("/v1/3", "roboflow-hosted"),
        ("/models", "other"),
        ("/v22", "other"),
        ("/", "other"),
    ],
)
def test_protocol_of_an_address(path: str, name: str) -> None:
    assert protocol_of(path) is BY_NAME[name]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/health", True), ("/v2/health/live", True), ("/label-studio/health", True), ("/metrics", False)],
)
def test_health_checks(path: str, *, expected: bool) -> None:
    assert is_health_check(path) is expected


@pytest.mark.parametrize(
    "path", ["/models/1", "/shadow/1", "/playground/1", "/health/1", "/a/b/1", "/a/x", "/1", "/a/1/"]
)
def test_addresses_that_are_no_hosted_model(path: str) -> None:
    assert protocol_of(path) is BY_NAME["other"]
