"""Layers are measured in float64, so that peaks and noise are equal on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.detector import to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.int8_maps import LayerPeaks, Peaks
from model_zoo.export.layer_statistics import int8_output, measure_noise, measure_peaks
from model_zoo.export.synthetic_images import ImageBatch
from tests.exports import ExportedModel
from tests.model_zoo.export.graphs import DOWN, STEM


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_peaks_are_averaged_over_the_images(tiny: ExportedModel, images: list[ImageBatch], peaks: Peaks) -> None:
    backbone = tiny.detector.deploy().backbone
    stem: list[torch.Tensor] = []
    backbone.stem.conv.register_forward_hook(lambda _module, _inputs, output: stem.append(output.abs().max()))
    with torch.no_grad():
        c3 = [backbone(to_network(torch.from_numpy(p), tiny.detector.input_spec))[0].abs().max() for p in images]
    assert list(peaks) == [STEM, DOWN]
    assert peaks[STEM].output == pytest.approx(float(torch.stack(stem).mean()), rel=1e-4)
    assert peaks[DOWN].input == pytest.approx(float(torch.stack(c3).mean()), rel=1e-4)


@pytest.mark.usefixtures("threads")
def test_results_are_equal_with_any_number_of_threads(tiny: ExportedModel, images: list[ImageBatch]) -> None:
    deployed, results = tiny.detector.deploy(), []
    for count in (1, 3):
        torch.set_num_threads(count)
        peaks = measure_peaks(deployed, [STEM, DOWN], images)
        results.append((peaks, measure_noise(deployed, peaks, images)))
    assert results[0] == results[1]
    assert deployed.backbone.stem.conv.weight.dtype == torch.float32


def test_int8_output_is_that_of_integers() -> None:
    conv = nn.Conv2d(3, 2, 1).double()
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[64.0, -32, 0], [1, 2, 4]])[..., None, None])
        conv.bias.copy_(torch.tensor([0.0, 100.0]))
    x = torch.tensor([127.0, 200, -500]).double()[None, :, None, None]  # clamped to 127, 127 and -128
    with torch.no_grad():
        output = int8_output(conv, x, LayerPeaks(127.0, 12700.0, 12700.0))
    exact = [64 * 127 - 32 * 127, 16 * 127 / 16 + 32 * 127 / 16 - 64 * 128 / 16 + 100]
    np.testing.assert_array_equal(output.flatten(), exact)


def test_layer_without_noise_has_no_ratio(tiny: ExportedModel, images: list[ImageBatch]) -> None:
    deployed = tiny.detector.deploy()
    for parameter in (deployed.backbone.stem.conv.weight, deployed.backbone.stem.conv.bias):
        nn.init.zeros_(parameter)
    peaks = measure_peaks(deployed, [STEM], images)
    assert peaks[STEM].output == 0
    assert measure_noise(deployed, peaks, images) == {STEM: None}


def test_infinite_maps_are_refused(tiny: ExportedModel, images: list[ImageBatch]) -> None:
    deployed = tiny.detector.deploy()
    deployed.backbone.stem.conv.weight.data *= torch.inf
    with pytest.raises(ExportError, match="expected finite values"):
        measure_peaks(deployed, [STEM, DOWN], images)
