from __future__ import annotations

import re

import pytest

from model_zoo.registry import families, family_of, variants
from model_zoo.releases import RELEASES, WITHOUT_WEIGHTS, published_result

PUBLIC_VARIANTS = {name for name in variants() if not name.endswith("-test")}
HOSTS = ("https://github.com/", "https://pjreddie.com/media/files/", "https://download.openmmlab.com/mmdetection/")


def test_releases_are_of_registered_variants() -> None:
    assert set(RELEASES) | set(WITHOUT_WEIGHTS) <= PUBLIC_VARIANTS
    assert not set(RELEASES) & set(WITHOUT_WEIGHTS)
    assert {family_of(name) for name in RELEASES} == set(families())


@pytest.mark.parametrize("variant", RELEASES)
def test_release_is_complete(variant: str) -> None:
    release = RELEASES[variant]
    assert release.url.startswith(HOSTS)
    assert re.fullmatch(r"[\w.-]+\.(pt|pth|weights)", release.file_name)
    assert release.license in ("AGPL-3.0", "GPL-3.0", "Apache-2.0", "LicenseRef-Darknet")
    assert re.fullmatch(r"\d{4}\.\d{5}", release.paper or "") or family_of(variant) in ("yolov5", "yolov6")
    assert re.fullmatch(r"[0-9a-f]{64}", release.sha256 or "0" * 64)
    assert 20 < release.result.value < 80
    assert published_result(variant) == release.result


def test_each_file_is_the_release_of_one_variant() -> None:
    assert len({release.url for release in RELEASES.values()}) == len(RELEASES)


def test_variants_without_weights_or_result() -> None:
    assert published_result("yolov1-paper") == WITHOUT_WEIGHTS["yolov1-paper"]
    assert published_result("yolov3-voc") is None
