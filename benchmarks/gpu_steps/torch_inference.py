"""Step `torch_inference`: the deployed network in PyTorch, without NMS, as a reference for the engines.

Images are uint8 on the device, and scaling is part of the run, as in exported graphs. A second part adds the upload of
the images from pinned memory and the download of the results, with one stream and with two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, Size, seconds_per_run, write_row
from model_zoo.detector import Detector, to_network
from model_zoo.registry import build

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
LANE_BATCHES: Final = (1, 8, 32)


@dataclass(frozen=True)
class Mode:
    """Number type, memory format and launch of the network."""

    dtype: torch.dtype
    """Number type of weights and maps."""
    channels_last: bool = False
    """Whether the channels of a pixel are neighbors in memory."""
    graph: bool = False
    """Whether the run is recorded once and replayed as a CUDA graph."""

    def __str__(self) -> str:
        """Return the name of the mode in the results."""
        parts = [str(self.dtype).removeprefix("torch.")]
        return ", ".join(parts + ["channels last"] * self.channels_last + ["CUDA graph"] * self.graph)


REFERENCE: Final = Mode(torch.float32)
MODES: Final = (
    REFERENCE,
    Mode(torch.float32, channels_last=True),
    Mode(torch.bfloat16),
    Mode(torch.bfloat16, channels_last=True),
    Mode(torch.bfloat16, channels_last=True, graph=True),
)


@torch.inference_mode()
def run(options: Options) -> None:
    """Measure every mode, canvas and batch size, then the transfers."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise CouldNotRun("PyTorch finds no GPU")
    torch.manual_seed(0)
    detector = build(options.model).deploy()
    for mode in MODES:
        if mode.graph and options.device != "cuda":
            continue
        for size in options.sizes:
            for batch in options.batches:
                measure(options, detector, mode, size, batch)
    if options.device == "cuda":
        for batch in LANE_BATCHES:
            for streams in (1, 2):
                measure_lanes(options, detector, options.sizes[0], batch, streams)


def measure(options: Options, detector: Detector, mode: Mode, size: Size, batch: int) -> None:
    """Time one configuration and compare its scores with those of float32."""
    images = noise(size, batch).to(options.device)
    network = on_device(detector, mode, options.device)
    call = recorded(network, images) if mode.graph else lambda: network(images)
    seconds = seconds_per_run(call, options.seconds, synchronize(options.device))
    expected = on_device(detector, REFERENCE, options.device)(images)
    note = f"scores differ by {float((call()[1] - expected[1]).abs().max()):.1e}"
    write_row(options, Row("torch_inference", str(mode), *size, batch, batch / seconds, 1e3 * seconds, note))


def on_device(detector: Detector, mode: Mode, device: str) -> Network:
    """Return the network from uint8 images (B, H, W, 3) to boxes and scores, which are float32."""
    memory = torch.channels_last if mode.channels_last else torch.contiguous_format
    network = build(detector.variant).deploy()
    network.load_state_dict(detector.state_dict())
    network.to(device, mode.dtype, memory_format=memory)  # type: ignore[call-overload]  # PyTorch's stubs lack it

    def call(images: Tensor) -> tuple[Tensor, Tensor]:
        x = to_network(images, network.input_spec).to(mode.dtype, memory_format=memory)
        maps = [m.float() for m in network(x)]
        return network.head.decode(network.head.rows(maps), network.head.priors(maps))

    return call


def recorded(network: Network, images: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """Record a run as a CUDA graph and return its replay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # libraries choose their kernels before the recording
        for _ in range(3):
            network(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = network(images)

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return results

    return replay


class Lane:
    """One stream with its buffers: upload, replay, download."""

    def __init__(self, network: Network, images: Tensor) -> None:
        self.stream = torch.cuda.Stream()
        self.images, self.input = images.pin_memory(), images.cuda()
        self.replay = recorded(network, self.input)
        self.results = [torch.empty(r.shape, dtype=r.dtype, pin_memory=True) for r in self.replay()]

    def run(self) -> None:
        """Wait for the previous run of this lane, then queue the next one."""
        self.stream.synchronize()
        with torch.cuda.stream(self.stream):
            self.input.copy_(self.images, non_blocking=True)
            for host, result in zip(self.results, self.replay(), strict=True):
                host.copy_(result, non_blocking=True)


def measure_lanes(options: Options, detector: Detector, size: Size, batch: int, streams: int) -> None:
    """Time runs with their transfers on streams that take turns."""
    network = on_device(detector, MODES[-1], options.device)
    lanes = [Lane(network, noise(size, batch)) for _ in range(streams)]

    def run_all() -> None:
        for lane in lanes:
            lane.run()

    seconds = seconds_per_run(run_all, options.seconds, torch.cuda.synchronize) / streams
    subject = f"{MODES[-1]}, with transfers, streams: {streams}"
    write_row(options, Row("torch_inference", subject, *size, batch, batch / seconds, 1e3 * seconds))


def noise(size: Size, batch: int) -> Tensor:
    """Return noise images, the same in every run."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (batch, *size, 3), dtype=torch.uint8, generator=draw)


def synchronize(device: str) -> Callable[[], object]:
    """Return the function that waits for a device."""
    return torch.cuda.synchronize if device == "cuda" else bool
