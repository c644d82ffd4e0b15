"""Files are recognized by their contents, whatever their names."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from model_zoo.contract.file_kind import DARKNET, ONNX, describe, kind_of
from tests.tiny_onnx import toy_card, toy_onnx

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def tarred(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


KINDS = {
    b"": "an empty file. Download the file again",
    bytes(8192): "a file of zeros. The download was interrupted",
    LFS: "a Git LFS pointer. Fetch the file with `git lfs pull`",
    b"/annex/objects/SHA256E-s1--00.pt\n": "a git-annex pointer",
    b"outs:\n- md5: 00\n": "a DVC pointer. Fetch the file with `dvc pull`",
    b"\n<!DOCTYPE html><p>Quota": "a web page. Download the file again",
    b"\xef\xbb\xbf<HTML>": "a web page",
    "<html>\u0414".encode("utf-16"): "a web page",
    b"<html><title>\xb4\xed\xce\xf3": "a web page",
    b"<!-- proxy -->\n<html lang=en>": "a web page",
    b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey': "an XML error message",
    b'<?xml version="1.0"?>\n<net name="yolo" version="11">': "an OpenVINO .xml file",
    b'{"message": "Not Found"}': "a JSON document, probably an error message",
    b"[]": "a JSON document",
    b"# yolo\n[net]\nbatch=1\n": "a Darknet cfg. Give the .weights file",
    b"# YOLOv5\nnc: 80\n": "a YAML file",
    b"person\ncar\n": "a text file that starts with 'person\\ncar'",
    gzip.compress(b"x"): "a gzip archive. Unpack it",
    b"7z\xbc\xaf\x27\x1c00": "a 7z archive",
    zipped(): "an empty zip archive",
    zipped("a.npy", "b.npy"): "a NumPy archive",
    zipped("best.pt", "last.pt"): "a zip archive with best.pt, last.pt. Unpack it",
    zipped("a/data.pkl", "a/code/net.py"): "a TorchScript archive",
    zipped("a/data.pkl", "a/constants.pkl"): "a TorchScript archive",
    zipped("a/model.json", "a/code/net.py"): "a TorchScript archive",
    zipped("m.mlpackage/Data/m.mlmodel"): "a Core ML package",
    zipped("config.json", "model.weights.h5"): "a Keras file",
    zipped("a/data.pkl", "a/version"): "a PyTorch checkpoint",
    zipped("a/data.pkl")[:40]: "a damaged zip archive, such as an incomplete PyTorch checkpoint",
    tarred("yolo/best.pt"): "a tar archive with yolo/best.pt. Unpack it",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes it",
    b"\x1c\0\0\0TFL3": "a TensorFlow Lite file",
    b"\x08\x01\x12\xff": "a TensorFlow SavedModel",
    b"GGUF\x03\0": "a GGUF file",
    b"7767517\n75 83\n": "an ncnn .param file",
    b"ftrt\0\0": "a TensorRT plan",
    b"\x93NUMPY\x01": "a NumPy array",
    b"\xff\xd8\xff\xe0": "a JPEG image",
    b"\x80\x04N.": "another pickle. Save the state dict",
    b"\0\x05\x16\x07\0\x02": "metadata of macOS (AppleDouble)",
    b"\x7fELF": "a program",
    b"\x10\0\0\0\0\0\0\0{}" + bytes(8): "a safetensors file",
    b"\xf3\xfa\x80": "a file that starts with b'\\xf3\\xfa\\x80'",
}


@pytest.mark.parametrize(("contents", "description"), KINDS.items(), ids=list(KINDS.values()))
def test_contents_are_recognized(contents: bytes, description: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(contents)
    assert describe(path).startswith(description)


def test_onnx_and_darknet_files_have_no_signature(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(toy_onnx(toy_card()))
    (tmp_path / "b").write_bytes(b"\0\0\0\0\x02\0\0\0\x05\0\0\0" + bytes(8) + b"\x01\x02\x03\x04" * 9)
    assert [kind_of(tmp_path / "a"), kind_of(tmp_path / "b")] == [ONNX, DARKNET]


def test_paths_without_a_file_are_described(tmp_path: Path) -> None:
    (tmp_path / "unpacked" / "best").mkdir(parents=True)
    (tmp_path / "unpacked" / "best" / "data.pkl").write_bytes(b"")
    (tmp_path / "link").symlink_to("missing")
    (tmp_path / "best.pt.part").write_bytes(LFS[:-5])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_bytes(b"")
    described = {
        name: describe(tmp_path / name) for name in ("unpacked", "run", "link", "none", "pipe", "best.pt.part")
    }
    assert described == {
        "unpacked": "a folder, an unpacked PyTorch checkpoint. Use the packed file",
        "run": "a folder, that of a run. Use its best.safetensors, or `lineage export`",
        "link": "a link to a missing file",
        "none": "nothing at this path",
        "pipe": "a device, a pipe or a socket",
        "best.pt.part": "a Git LFS pointer. Its name says that the download is incomplete",
    }
