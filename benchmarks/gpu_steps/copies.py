"""Step `copies`: the part of the TensorRT engine that needs CUDA alone. Copies are timed, and their results checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np

from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, Size, seconds_per_run, write_row


def run(options: Options) -> None:
    """Time uploads of a batch from pageable and page-locked memory, and downloads with and without a CUDA graph."""
    if options.device != "cuda":
        raise CouldNotRun("copies need a GPU")
    from cuda.bindings import runtime

    from model_zoo.runtime.cuda import Buffer, Stream, call

    size, batch = options.sizes[0], options.batches[-1]
    images = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    with closing(Stream()) as stream, closing(Buffer(images.nbytes)) as buffer:
        pinned = buffer.view(images.shape, np.uint8)
        to_device = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice

        def upload_pageable() -> None:
            call(runtime.cudaMemcpy, buffer.address, images.ctypes.data, images.nbytes, to_device)

        def download() -> None:
            buffer.download(images.nbytes, stream)

        def time_copies(name: str, work: Callable[[], object]) -> None:
            _write(options, name, size, batch, seconds_per_run(work, options.seconds, stream.wait), images.nbytes)

        time_copies("upload, pageable", upload_pageable)
        pinned[:] = images
        time_copies("upload, page-locked", lambda: buffer.upload(images.nbytes, stream))
        time_copies("download, page-locked", download)
        graph = stream.record(download)
        pinned[:] = 0
        time_copies("download, CUDA graph", lambda: stream.launch(graph))
        if not np.array_equal(pinned, images):
            raise RuntimeError("the images differ after the copies")


def _write(options: Options, name: str, size: Size, batch: int, seconds: float, nbytes: int) -> None:
    note = f"{nbytes / seconds / 1e9:.1f} GB/s of images"
    write_row(options, Row("copies", name, *size, batch, batch / seconds, 1e3 * seconds, note))
