"""Networks built from their Darknet cfg, compared with numbers of the original programs and with the families."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from model_zoo.detector import Detector
from model_zoo.weights.importers.darknet.cfg_network import from_cfg
from tests.conftest import SHARED
from tests.parity.darknet_cfgs import cfg_text
from tests.parity.darknet_reference import (
    ABSENT,
    RAW,
    SCORES,
    Reference,
    assert_same_boxes,
    darknet_layout,
    loader,
    references,
    with_pj_normalization,
)

QUICK = ("yolov2-tiny-voc", "yolov3-tiny", "yolov4-tiny")
FIRST_RUNS = [run for run in references() if run.program == run.programs[0]]
RUNS = [pytest.param(r, id=r.name, marks=[pytest.mark.slow] * (r.name not in QUICK)) for r in FIRST_RUNS]


@pytest.fixture(scope="module", params=RUNS or [ABSENT])
def run(request: pytest.FixtureRequest) -> Reference:
    return request.param


@pytest.fixture(scope="module")
def built(run: Reference, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    cfg = tmp_path_factory.mktemp("cfg") / f"{run.name}.cfg"
    weights = cfg.with_suffix(".weights")
    cfg.write_text(cfg_text(run.meta))
    loader().write_weights(SHARED / "parity" / run.name, weights)
    detector = from_cfg(cfg, weights)
    weights.unlink()  # up to 1 GB
    return with_pj_normalization(detector) if run.program == "pj" else detector


@pytest.fixture(scope="module")
def raw_maps(run: Reference, built: Detector) -> list[Tensor]:
    with torch.inference_mode():
        return built(run.images)


def test_maps_and_boxes_match_the_original(run: Reference, built: Detector, raw_maps: list[Tensor]) -> None:
    maps_by_shape = {raw.shape: raw for raw in map(darknet_layout, raw_maps)}
    assert len(run.maps) == len(raw_maps) == len(maps_by_shape)
    for expected in run.maps.values():
        np.testing.assert_allclose(maps_by_shape[expected.shape], expected, rtol=0, atol=RAW)
    assert_same_boxes(run, built.head, raw_maps, SCORES * min(run.images.shape[2:]))


def test_deployed_form_is_equivalent(run: Reference, built: Detector, raw_maps: list[Tensor]) -> None:
    deployed = built.deploy()
    assert not [m for m in deployed.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.inference_mode():
        torch.testing.assert_close(deployed(run.images), raw_maps, rtol=0, atol=RAW)


def test_network_equals_that_of_the_family(run: Reference, built: Detector, raw_maps: list[Tensor]) -> None:
    family = run.detector
    attributes = (family.family, family.variant, family.class_names, family.input_spec, family.head.strides)
    assert (built.family, built.variant, built.class_names, built.input_spec, built.head.strides) == attributes
    assert built.head.multi_label_below == family.head.multi_label_below
    assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in family.parameters())
    with torch.inference_mode():
        torch.testing.assert_close(family(run.images), raw_maps, rtol=0, atol=1e-6)
        for actual, expected in zip(built.forward_decoded(run.images), family.forward_decoded(run.images), strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-4)
