from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.names_file import find_names_file, read_names_file


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.names", b"cup\nwine glass\n"),
        ("a.names", b"cup\r\nwine glass\r\n\r\n\n"),
        ("a.names", b"\xef\xbb\xbfcup\nwine glass"),
        ("a.names", b"\n cup \n\nwine glass\t\n"),
        ("a.txt", "cup\nwine glass\n".encode("utf-16")),
        ("data.yaml", b"\xef\xbb\xbfnc: 2\nnames: [cup, wine glass]\n"),
        ("data.yml", b"names:\n  0: cup\n  1: wine glass\n"),
        ("data.yaml", b"- cup\n- wine glass\n"),
        ("names.json", b'{"1": "cup", "2": "wine glass"}'),
    ],
)
def test_names_are_read(name: str, contents: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(contents)
    assert read_names_file(str(tmp_path / name), 2) == ("cup", "wine glass")


def test_empty_line_in_a_complete_list_is_a_class_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.names").write_bytes(b"cup\n\nfork\n")
    assert read_names_file(tmp_path / "a.names", 3) == ("cup", "class1", "fork")
    assert read_names_file(tmp_path / "a.names", 2) == ("cup", "fork")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"cup\nfork\nknife\n", r"a\.names: expected the names of the network's 2 classes; got 3"),
        (b"", "got 0"),
        ("cup\nglac\u00e9\n".encode("latin-1"), "expected class names in UTF-8"),
        (b"PK\x05\x06\0\0", "an empty zip archive"),
        (b"x" * 2_000_000, "over 1,000,000 bytes"),
    ],
)
def test_unusable_names_are_refused(contents: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.names").write_bytes(contents)
    with pytest.raises(LineageError, match=message):
        read_names_file(tmp_path / "a.names", 2)


def test_missing_file_and_damaged_yaml_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("names: [cup")
    for path, message in ((tmp_path / "no.names", "nothing at this path"), (tmp_path / "a.yaml", "a YAML document")):
        with pytest.raises(LineageError, match=message):
            read_names_file(path, 2)


def test_names_beside_the_weights_are_found(tmp_path: Path) -> None:
    weights, cfg = tmp_path / "yolo_final.weights", tmp_path / "yolo.cfg"
    assert find_names_file(weights, cfg) is None
    found = []
    for name, contents in (
        ("obj.names", "cup\n"),
        ("obj.data", "classes = 1\nnames = data/list.txt\n"),
        ("list.txt", "cup\n"),
        ("yolo.names", "cup\n"),
        ("yolo_final.names", "cup\n"),
    ):
        (tmp_path / name).write_text(contents)
        file = find_names_file(weights, cfg)
        found.append(file and file.name)
    assert found == ["obj.names", "obj.names", "list.txt", "yolo.names", "yolo_final.names"]
