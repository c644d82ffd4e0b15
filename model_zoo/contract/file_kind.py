"""Recognize files by their contents, to name in an error what a file is instead of what it should be.

    describe(path)   # "a Git LFS pointer. Fetch the file with `git lfs pull`"

Names and extensions are not trusted: servers, browsers and version control put other contents under them.
"""

from __future__ import annotations

import codecs
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from model_zoo.contract.files import text_encoding

HEAD_BYTES: Final = 4096
MAX_SHOWN: Final = 3  # entries of an archive in a message
MAX_HEADER_BYTES: Final = 100_000_000  # of safetensors
AGAIN = "Download the file again"
UNPACK = "Unpack it and use the file inside"
CONVERTED = "It is an export of a network: use the weights it was made from"

UNKNOWN = "a file that starts with"
TORCH, SAFETENSORS, DARKNET, ONNX = "a PyTorch checkpoint", "a safetensors file", "Darknet weights", "an ONNX file"

# (offset, bytes, kind, advice). The first match counts.
_MAGIC: Final = (
    (0, b"version https://git-lfs", "a Git LFS pointer", "Fetch the file with `git lfs pull`"),
    (0, b"/annex/objects/", "a git-annex pointer", "Fetch the file with `git annex get`"),
    (0, b"outs:\n- md5:", "a DVC pointer", "Fetch the file with `dvc pull`"),
    (0, b"\x00\x05\x16\x07", "metadata of macOS (AppleDouble)", "Use the file without ._ before its name"),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", AGAIN),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it", "Use the weights of the original program"),
    (4, b"TFL3", "a TensorFlow Lite file", CONVERTED),
    (0, b"\x08\x01\x12", "a TensorFlow SavedModel", CONVERTED),
    (0, b"GGUF", "a GGUF file", "It holds a language model"),
    (0, b"7767517\n", "an ncnn .param file", CONVERTED),
    (0, b"7767517\r\n", "an ncnn .param file", CONVERTED),
    (0, b"G\x6b\x30\x01", "an ncnn .bin file", CONVERTED),
    (0, b"ptrt", "a TensorRT plan", CONVERTED),
    (0, b"ftrt", "a TensorRT plan", CONVERTED),
    (0, b"\x93NUMPY", "a NumPy array", "Use the weights of the original program"),
    (0, b"MATLAB 5.0", "a MATLAB file", "Use the weights of the original program"),
    (0, b"\x89PNG\r\n", "a PNG image", ""),
    (0, b"\xff\xd8\xff", "a JPEG image", ""),
    (0, b"GIF8", "a GIF image", ""),
    (8, b"WEBP", "a WebP image", ""),
    (0, b"II*\x00", "a TIFF image", ""),
    (0, b"MM\x00*", "a TIFF image", ""),
    (0, b"%PDF", "a PDF document", ""),
    (4, b"ftyp", "a video", ""),
    (0, b"\x7fELF", "a program", ""),
    (0, b"MZ\x90", "a program", ""),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut", "Use the file it points to"),
    (257, b"ustar", "a tar archive", UNPACK),
)
# (pattern at the start of a text, kind, advice)
_TEXT: Final = (
    (rb"(<!--.*?-->\s*)*<(!doctype html|html|head|body|title|script)\b", "a web page", AGAIN),
    (rb"(<\?xml[^>]*>\s*)?<net\s", "an OpenVINO .xml file", CONVERTED),
    (rb"(<\?xml[^>]*>\s*)?<(error|response|result)\b", "an XML error message", AGAIN),
    (rb"<\?xml|<svg", "an XML file", AGAIN),
    (rb'[{\[]\s*["{\]}]', "a JSON document, probably an error message", AGAIN),
    (rb"([#;][^\n]*\s+)*\[net(work)?\]", "a Darknet cfg", "Give the .weights file, and this one as --cfg"),
    (rb"(#[^\n]*\s+)*(nc|names|path|train|backbone)\s*:", "a YAML file", "Give the weights, not the settings"),
    (rb"\[internetshortcut\]", "a Windows shortcut", "Use the file it points to"),
)


def describe(path: Path) -> str:
    """Return what a file or folder is, with a way to fix it, as in "a web page. Download the file again"."""
    if path.is_dir():
        return f"a folder{_folder_advice(path)}"
    if not path.is_file():
        if path.exists():
            return "a device, a pipe or a socket"
        return "a link to a missing file" if path.is_symlink() else "nothing at this path"
    with path.open("rb") as file:
        kind, advice = _kind(file)
    if path.suffix in (".part", ".crdownload", ".download", ".aria2"):
        advice = "Its name says that the download is incomplete"
    return f"{kind}. {advice}" if advice else kind


def kind_of(path: Path) -> str:
    """Return what a file is, such as TORCH, or UNKNOWN and its first bytes.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return _kind(file)[0]


def _kind(file: BinaryIO) -> tuple[str, str]:
    """Return kind and advice."""
    head = file.read(HEAD_BYTES)
    size = file.seek(0, 2)
    for offset, magic, kind, advice in _MAGIC:
        if head.startswith(magic, offset):
            return _with_names(kind, _tar_names(file) if "tar" in kind else []), advice
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(file)
    return _binary_kind(head, size) or _text_kind(head) or (f"{UNKNOWN} {head[:8]!r}", "")


def _binary_kind(head: bytes, size: int) -> tuple[str, str] | None:
    """Return the kind of formats without a fixed signature."""
    if not size:
        return "an empty file", AGAIN
    if not head.strip(b"\0"):
        return "a file of zeros", f"The download was interrupted. {AGAIN}"
    if _is_legacy_torch(head):
        return TORCH, ""
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "another pickle", "Save the state dict with torch.save"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES:
        return SAFETENSORS, ""
    if re.match(rb"\x08[\x02-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", head):
        return ONNX, CONVERTED
    numbers = [int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8)]
    return (DARKNET, "") if numbers[0] == 0 and numbers[1] <= 2 and numbers[2] <= 5 and size >= 16 else None


def _is_legacy_torch(head: bytes) -> bool:
    """Return True for the plain stream of torch before 1.6: a pickle of its magic number."""
    return re.match(rb"\x80.\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", head, re.DOTALL) is not None


def _text_kind(head: bytes) -> tuple[str, str] | None:
    """Return the kind of a text. Its markup is recognized in any encoding, other text in Unicode only."""
    text = _decode(head)
    start = head if text is None else text.encode()
    for pattern, kind, advice in _TEXT:
        if re.match(pattern, start.strip().lower(), re.DOTALL):
            return kind, advice
    return None if text is None else (f"a text file that starts with {text.strip()[:20]!r}", "")


def _decode(head: bytes) -> str | None:
    """Return the start of a text without its byte order mark, or None for other bytes."""
    try:
        text = codecs.getincrementaldecoder(text_encoding(head))().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character.isspace() for character in text) else None


def _zip_kind(file: BinaryIO) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(file).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        return f"a damaged zip archive, such as an incomplete PyTorch checkpoint ({error})", AGAIN
    for is_kind, kind, advice in _ZIPS:
        if is_kind(names):
            return kind, advice
    return _with_names("a zip archive", names), UNPACK


def _has(*suffixes: str) -> Callable[[list[str]], bool]:
    return lambda names: any(f"/{name}".endswith(suffixes) for name in names)


_is_torch = _has("/data.pkl")


def _is_script(names: list[str]) -> bool:
    """Return True for TorchScript: it adds code to a checkpoint, or a model.json before torch 1.4."""
    has_code = any("/code/" in f"/{name}" for name in names)
    return _has("/constants.pkl")(names) or (has_code and _has("/data.pkl", "/model.json")(names))


_SCRIPT_ADVICE = "It is a program without the network's structure: use the checkpoint it was made from"
_ZIPS: Final = (
    (_is_script, "a TorchScript archive", _SCRIPT_ADVICE),
    (_has("/models/model.json", "/serialized_exported_program.json"), "a torch.export archive", CONVERTED),
    (_is_torch, TORCH, ""),
    (_has(".npy"), "a NumPy archive", "Use the weights of the original program"),
    (_has("/model.weights.h5"), "a Keras file", "Use the weights of the original program"),
    (_has(".mlmodel"), "a Core ML package", CONVERTED),
)


def _tar_names(file: BinaryIO) -> list[str]:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            return [entry.name for _, entry in zip(range(MAX_SHOWN + 1), archive, strict=False)]
    except (tarfile.TarError, OSError):
        return []


def _with_names(kind: str, names: list[str]) -> str:
    """Add the first entries of an archive."""
    shown = ", ".join(ascii(name[:60])[1:-1] for name in names[:MAX_SHOWN])
    return f"{kind} with {shown}{', ...' if len(names) > MAX_SHOWN else ''}" if names else kind


def _folder_advice(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return f", a TensorFlow SavedModel. {CONVERTED}"
    if any(path.glob("data.pkl")) or any(path.glob("*/data.pkl")):
        return ", an unpacked PyTorch checkpoint. Use the packed file"
    if (path / "best.safetensors").is_file():
        return ", that of a run. Use its best.safetensors, or `lineage export`"
    return ". Give the file inside it"
