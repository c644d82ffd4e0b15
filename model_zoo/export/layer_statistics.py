"""Measure the maps of a network's layers in float64: their peaks, and the noise that int8 adds to them.

float32 results depend on the CPU and its number of threads in the last digits. Scales computed from them would differ,
and so would the file. In float64 the differences are around 1e-13. Rounded results are equal on every machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from model_zoo.detector import Detector, to_network
from model_zoo.export.errors import ExportError
from model_zoo.export.int8_maps import MAX_STEP, LayerPeaks, Peaks, map_scale
from model_zoo.export.quantize import quantize_weight
from model_zoo.export.synthetic_images import ImageBatch
from model_zoo.progress import track

CalibrationImages = Sequence[ImageBatch]
Measure = Callable[[str, nn.Conv2d, Tensor, Tensor], tuple[float, ...]]  # of layer, module, input and output
MANTISSA_BITS = 16  # of a peak: 2**-16 is far above the rounding errors of float64, and far below the step of a map


def measure_peaks(deployed: Detector, layers: Sequence[str], images: CalibrationImages) -> dict[str, LayerPeaks]:
    """Return the largest magnitudes of each layer's maps, averaged over the images.

    Raises:
        ExportError: A value is NaN or infinite.
    """

    def peaks(_layer: str, _conv: nn.Conv2d, x: Tensor, y: Tensor) -> tuple[float, ...]:
        return _peak(x), _peak(y), float(y.max())

    means = _measure(deployed, layers, images, peaks, "measure ranges").mean(axis=0)
    if not np.isfinite(means).all():
        raise ExportError(
            "calibration: expected finite values; the network computes NaN or infinity for a calibration image"
        )
    return {layer: LayerPeaks(*row) for layer, row in zip(layers, _round(means).tolist(), strict=True)}


def measure_noise(deployed: Detector, peaks: Peaks, images: CalibrationImages) -> dict[str, float | None]:
    """Return each layer's signal-to-quantization-noise ratio in dB, with this layer alone in int8.

    The ratio is None if signal or noise is 0.
    """

    def powers(layer: str, conv: nn.Conv2d, x: Tensor, y: Tensor) -> tuple[float, ...]:
        return _power(y), _power(int8_output(conv, x, peaks[layer]).sub_(y))

    sums = _measure(deployed, list(peaks), images, powers, "measure noise").sum(axis=0)
    return {layer: _decibels(*row) for layer, row in zip(peaks, sums.tolist(), strict=True)}


def int8_output(conv: nn.Conv2d, x: Tensor, peaks: LayerPeaks) -> Tensor:
    """Return the output of a convolution of int8 maps and weights. Sums are exact: they are integers in float64."""
    weight, bias = (None if p is None else p.float().numpy() for p in (conv.weight, conv.bias))
    assert weight is not None
    input_scale = map_scale(peaks.input)
    steps, scales = quantize_weight(weight, bias, input_scale=input_scale)
    sums = conv2d(
        _steps(x, input_scale),
        torch.from_numpy(steps).double(),
        None,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
    )
    sums *= (torch.from_numpy(scales).double() * float(input_scale))[:, None, None]
    if conv.bias is not None:
        sums += conv.bias[:, None, None]
    return sums


@torch.no_grad()
def _measure(
    deployed: Detector, layers: Sequence[str], images: CalibrationImages, measure: Measure, description: str
) -> NDArray[np.float64]:
    """Run the network in float64 and return (images, layers, n): the measured numbers of each layer."""
    network = copy.deepcopy(deployed).double()
    rows: list[dict[str, tuple[float, ...]]] = []

    def hook(layer: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(conv, nn.Conv2d)
            rows[-1][layer] = measure(layer, conv, inputs[0], output)

        return record

    for layer in layers:
        network.get_submodule(layer).register_forward_hook(hook(layer))
    for image in track(images, description, len(images)):
        rows.append({})
        network(to_network(torch.from_numpy(image), network.input_spec).double())
    return np.array([[row[layer] for layer in layers] for row in rows])


def _steps(x: Tensor, scale: np.float32) -> Tensor:
    return (x / float(scale)).round_().clamp_(-MAX_STEP - 1, MAX_STEP)


def _peak(x: Tensor) -> float:
    low, high = x.aminmax()
    return float(torch.maximum(-low, high))


def _power(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x)) ** 2


def _round(values: NDArray[np.float64]) -> NDArray[np.float64]:
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, MANTISSA_BITS)), exponent - MANTISSA_BITS)
    return rounded


def _decibels(signal: float, noise: float) -> float | None:
    """Return 10 log10(signal / noise) with two decimals, which are equal on every machine."""
    return round(10 * float(np.log10(signal / noise)), 2) if signal > 0 and noise > 0 else None
