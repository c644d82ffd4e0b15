"""Lines of YOLO label files: separators, polygons and keypoints."""

from __future__ import annotations

import pytest

from training.data.formats.yolo_lines import parse_line
from training.data.validation.findings import LabelError

BOX = (0.25, 0.375, 0.75, 0.625)


@pytest.mark.parametrize(
    "text",
    [
        "1 0.5 0.5 0.5 0.25",
        "1\t0.5\t0.5\t0.5\t0.25",
        "  1.0  5e-1 .5 +0.5 0.25  ",
        "1,0.5,0.5,0.5,0.25",
        "1, 0.5, 0.5, 0.5, 0.25",
        "1 ,0.5 ,0.5 ,0.5 ,0.25",
        "1 0.5,0.5,0.5,0.25",
        "1,0.5,0.5,0.5,0.25,",
        "1 0.25 0.375 0.75 0.375 0.75 0.625 0.25 0.625",  # oriented box
        "1 0.25 0.5 0.5 0.375 0.75 0.5 0.5 0.625 0.4 0.6",  # polygon
    ],
)
def test_notations_of_one_box(text: str) -> None:
    row = parse_line(3, text, 7, 2)
    assert row
    assert (row.image_index, row.category, row.line) == (3, 1, 7)
    assert row.box == pytest.approx(BOX)


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_blank_lines_are_ignored(text: str) -> None:
    assert parse_line(0, text, 1, 2) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0,5 0,5 0,2 0,2", "write decimal points"),
        ("0;0.5;0.5;0.2;0.2", "expected numbers"),
        ("0,,0.5,0.2,0.2", "got 4 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9", "remove the last one if it is a score"),
        ("0 0.5 0.5 0.2 0.2 0.5 0.5 0.5", "add kpt_shape to the description if keypoints follow"),
        ("0 0.5 0.5 0.2 0.2 0.5 0.5 2", r"a box and 1 keypoints; add kpt_shape: \[1, 3\]"),
        ("0 0.5 0.5 0.2 0.2 0.5 0.5 2 0.45 0.55 1", r"kpt_shape: \[2, 3\]"),
        ("0 0.5 0.5 0.2 0.2 0.5 0.5 1 0 0 0", r"kpt_shape: \[2, 3\]"),
        ("0.5 0.5 0.5 0.2 0.2", "expected an integer"),
    ],
)
def test_invalid_lines_raise(text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        parse_line(0, text, 1, 2)


def test_polygon_at_the_image_edge_has_no_keypoints() -> None:
    row = parse_line(0, "0 0 0 0.5 0 1 0.5 1 1 0 1", 1, 2)
    assert row
    assert row.box == (0, 0, 1, 1)


@pytest.mark.parametrize("text", ["1 0.5 0.5 0.5 0.25", "1 0.5 0.5 0.5 0.25 0.9 0.9 2 0 0 0"])
def test_declared_keypoints_are_ignored(text: str) -> None:
    row = parse_line(0, text, 1, 2, keypoint_columns=6)
    assert row
    assert row.box == pytest.approx(BOX)


def test_other_columns_than_declared_raise() -> None:
    with pytest.raises(LabelError, match="expected a box in 5 columns, or 11 with the keypoints of kpt_shape; got 9"):
        parse_line(0, "1 0.5 0.5 0.5 0.25 0.9 0.9 0.1 0.1", 1, 2, keypoint_columns=6)
