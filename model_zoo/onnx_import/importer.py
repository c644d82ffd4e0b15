"""Import the ONNX file of another program into a repository, without torch.

package = import_onnx(Path("yolov8n.onnx"), Repository(Path("models")), Request("yolov8n"), print)
"""

from __future__ import annotations

import glob
import importlib.util
import tempfile
from pathlib import Path
from typing import Final

from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import check_folder_target, check_name
from model_zoo.export.log import Log, silent
from model_zoo.export.options import check_candidates, check_golden_folder
from model_zoo.onnx_import.guard import BASE_MEMORY, run_guarded
from model_zoo.onnx_import.options import Converted, Request

COPIES: Final = 8  # of the weights while a file is converted
MAX_SIZE: Final = 2**31  # of an ONNX file


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
    if missing := [name for name in ("onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]:
        raise LineageError(
            f"an ONNX file needs the package {missing[0]}, which is not installed; run: pip install "
            "'yolo-lineage[cpu,onnx]'"
        )
    check_name(request.name)
    check_candidates(request.candidates)
    check_golden_folder(request.golden)


def _convert(source: Path, request: Request, folder: Path | None, log: Log) -> Converted:
    beside = source.parent.glob(f"{glob.escape(source.name)}*") if source.is_file() else ()  # with external data
    size = sum(path.stat().st_size for path in beside if path.is_file())
    converted = run_guarded(_convert_here, source, request, folder, memory=BASE_MEMORY + COPIES * min(size, MAX_SIZE))
    for note in converted.notes:
        log(note)
    return converted


def _convert_here(source: Path, request: Request, folder: Path | None) -> Converted:
    import onnxruntime  # needed in the child process only

    from model_zoo.onnx_import.convert import convert

    onnxruntime.set_default_logger_severity(4)  # it logs each failed run, which its exception describes, too
    return convert(source, request, folder)
