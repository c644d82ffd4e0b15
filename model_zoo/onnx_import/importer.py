"""Import the ONNX file of another program into a repository, without torch.

package = import_onnx(Path("yolov8n.onnx"), Repository(Path("models")), Request("yolov8n"), print)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_folder_target, check_name
from model_zoo.export.log import Log, silent
from model_zoo.export.options import check_candidates, check_golden_folder
from model_zoo.onnx_import.convert import Converted, convert
from model_zoo.onnx_import.guard import BASE_MEMORY, run_guarded
from model_zoo.onnx_import.options import Request

COPIES: Final = 8  # of the weights while a file is converted


def import_onnx(source: Path, repository: Repository, request: Request, log: Log = silent) -> Package:
    """Convert an ONNX file, prove that the new graph agrees with it, and publish it as the next version of its name.

    The file is read and run in a child process with limits on memory and time.

    Raises:
        LineageError: The file is refused, or cannot be run. The message has the reason.
        ExportError: The new graph detects something else than the file.
    """
    _check(request)
    check_folder_target(repository.root)
    with tempfile.TemporaryDirectory() as folder:
        converted = _convert(source, request, Path(folder), log)
        return repository.publish(converted.card, converted.files)


def explain_onnx(source: Path, request: Request, log: Log = silent) -> Converted:
    """Recognize an ONNX file and log the reasons, without converting it.

    Raises:
        LineageError: The file is refused, or cannot be run. The message has the reason.
    """
    _check(request)
    return _convert(source, request, None, log)


def _check(request: Request) -> None:
    check_name(request.name)
    check_candidates(request.candidates)
    check_golden_folder(request.golden)


def _convert(source: Path, request: Request, folder: Path | None, log: Log) -> Converted:
    size = source.stat().st_size if source.is_file() else 0
    converted = run_guarded(convert, source, request, folder, memory=BASE_MEMORY + COPIES * size)
    for note in converted.notes:
        log(note)
    return converted
