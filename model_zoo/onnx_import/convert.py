"""Convert an ONNX file of another program to the files of a package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from onnx import ModelProto

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size
from model_zoo.contract.manifest import MODEL
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.golden import describe_golden, write_golden
from model_zoo.onnx_import.card import build_card, class_names, complete_format, complete_names
from model_zoo.onnx_import.decoding import Decoding
from model_zoo.onnx_import.graft import graft
from model_zoo.onnx_import.network import Arrays, Network, Runs
from model_zoo.onnx_import.options import Converted, Request
from model_zoo.onnx_import.proof import other_runs, prove
from model_zoo.onnx_import.reader import first_line, read_model
from model_zoo.onnx_import.recognition import Outputs, check_task, recognize

PROBE_IMAGES: Final = 3


def convert(source: Path, request: Request, folder: Path | None) -> Converted:
    """Convert an ONNX file to a package in `folder`. Without a folder, only recognize it.

    Raises:
        LineageError: The file is refused. The message has the reason.
        ExportError: The new graph detects something else than the file.
    """
    network = Network(read_model(source), request.image_size)
    check_task(network.metadata)
    images = synthetic_images(network.format.size, PROBE_IMAGES)
    probe = network.run_each(images)
    names = class_names(network, request.names)
    known = Outputs(_join(probe), network.format.size, len(names) or None)
    decoding, notes = recognize(known, request.onnx.layout)
    notes += network.limit(probe)
    probed = network.format.pixels
    network.format, assumed = complete_format(network.format, decoding.layout, request.onnx)
    names, names_note = complete_names(names, decoding.classes)
    card, card_notes = build_card(source, network, decoding, names, request)
    notes += [names_note, _describe_input(network), *assumed, *card_notes]
    if folder is None:
        return Converted(card, tuple(notes))
    if network.format.pixels != probed:
        probe = network.run_each(images)
    files, results = _write(network, probe, decoding, card, request, folder)
    return Converted(card, (*notes, *results), files)


def _join(runs: Runs) -> Arrays:
    """Return the outputs of single images in one batch."""
    first, *others = [outputs for _, outputs in runs]
    for name, array in first.items():
        if any(other[name].shape != array.shape for other in others) or array.shape[:1] != (1,):
            shapes = " and ".join(dict.fromkeys(str(outputs[name].shape) for _, outputs in runs))
            raise LineageError(
                f"output {name[:40]!r}: expected the same shape (1, ...) for every image; got {shapes}; export the "
                "file without NMS, or with NMS that pads its detections"
            )
    return {name: np.concatenate([outputs[name] for _, outputs in runs]) for name in first}


def _describe_input(network: Network) -> str:
    fmt = network.format
    batch = "any batch" if fmt.dynamic_batch else "batch 1"
    sizes = f", or others in steps of {fmt.stride}" if fmt.dynamic_size else ", fixed"
    return f"input {fmt.name}: {fmt.dtype}, {batch}, {format_size(fmt.size)}{sizes}"


def _write(
    network: Network, probe: Runs, decoding: Decoding, card: ModelCard, request: Request, folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """Write the files of the package, and return them by name with notes on the result."""
    grafted = _graft(network, decoding, card)
    proof = prove([*probe, *other_runs(network)], decoding, grafted, card)
    path = folder / MODEL
    write_atomic(path, grafted.SerializeToString(deterministic=True))
    golden = write_golden(path, card, folder, request.golden)
    notes = [
        f"agrees with the file: {proof.detections} detections on {proof.images} images equal those of its outputs and "
        f"the reference NMS, no prediction dropped above score {proof.dropped_score:.1g}",
        describe_golden(golden),
        f"{card.params:,} parameters, {path.stat().st_size / 1e6:.1f} MB, {card.precision}",
    ]
    return {MODEL: path, **golden}, notes


def _graft(network: Network, decoding: Decoding, card: ModelCard) -> ModelProto:
    try:
        return graft(network, decoding, card)
    except LineageError:
        raise
    except Exception as error:  # those of the ONNX libraries share no base class
        raise LineageError(
            f"the graph contract cannot be put around this network: {type(error).__name__}: {first_line(error)}; "
            "export the file with opset 17 to 20"
        ) from error
