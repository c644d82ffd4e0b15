"""Findings: the kinds of problems a dataset can have, and how they are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from model_zoo.contract.errors import LineageError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MAX_LISTED = 5  # errors in an exception message; the others are counted


class FindingKind(NamedTuple):
    """Severity and meaning of one kind of finding."""

    severity: Severity
    """error: training refuses the dataset. warning: something is ignored, corrected or doubtful. note: information."""
    meaning: str
    """Description of the problem."""


KINDS = {
    "file-empty": FindingKind("error", "JSON, YAML or XML file is empty"),
    "invalid-json": FindingKind("error", "COCO file is not valid JSON or is truncated"),
    "invalid-yaml": FindingKind("error", "dataset description is not valid YAML"),
    "invalid-xml": FindingKind("error", "VOC file is not valid XML, is truncated, or has undecodable class names"),
    "invalid-text": FindingKind("error", "label file is not UTF-8 text"),
    "field-missing": FindingKind("error", "required field is missing or has the wrong type"),
    "classes": FindingKind("error", "class names are missing, empty, duplicated or numbered with gaps"),
    "classes-nc": FindingKind("error", "nc is not the number of names"),
    "classes-differ": FindingKind("error", "splits disagree on the names or ids of classes"),
    "split-missing": FindingKind("error", "folder or list of a split does not exist"),
    "test-missing": FindingKind("warning", "test split or all its labels are missing; the split is ignored"),
    "split-empty": FindingKind("error", "split has no images"),
    "no-train": FindingKind("warning", "no split is named as a training split"),
    "no-objects": FindingKind("error", "no training image has objects"),
    "split-without-objects": FindingKind("warning", "no image of the split has objects"),
    "class-without-objects": FindingKind("warning", "some classes have no objects"),
    "class-similar": FindingKind("warning", "class names that differ in case, blanks, hyphens or underscores only"),
    "labels-missing": FindingKind("error", "no image of the split has a label file"),
    "label-missing": FindingKind("warning", "image has no label file; it counts as empty"),
    "label-shared": FindingKind("error", "two images, such as a.jpg and a.png, have the same label file"),
    "label-orphan": FindingKind("warning", "label file has no image"),
    "hidden-files": FindingKind("note", "hidden and system files are skipped"),
    "columns": FindingKind("error", "line has the wrong number of columns"),
    "number": FindingKind("error", "text, NaN or infinity instead of a number"),
    "class-range": FindingKind("error", "class number has no name"),
    "duplicate-image-id": FindingKind("error", "two images have the same id"),
    "duplicate-annotation-id": FindingKind("warning", "two annotations have the same id"),
    "unknown-image": FindingKind("error", "annotation refers to an image that is not listed"),
    "unknown-category": FindingKind("error", "object refers to a category or class that is not listed"),
    "box-not-normalized": FindingKind("error", "coordinates above 1 instead of fractions of the image size"),
    "box-not-pixels": FindingKind("error", "fractions of the image size instead of pixels"),
    "box-negative": FindingKind("error", "right or bottom edge of a box lies before the left or top edge"),
    "box-outside": FindingKind("error", "box lies entirely outside the image"),
    "box-empty": FindingKind("warning", "box has no width or no height; ignored"),
    "box-over-edge": FindingKind("warning", "box extends more than one pixel beyond the image; clipped"),
    "box-duplicate": FindingKind("warning", "same box and class twice in an image"),
    "images-missing": FindingKind("error", "no image of the split exists"),
    "image-missing": FindingKind("error", "image file does not exist"),
    "image-empty": FindingKind("error", "image file is empty"),
    "image-unreadable": FindingKind("error", "image is truncated, corrupt or of an unsupported format"),
    "image-damaged": FindingKind("warning", "image is damaged but can be decoded, perhaps in part"),
    "image-size": FindingKind("error", "image size differs from the size its labels declare"),
    "image-rotated": FindingKind("note", "images rotated by EXIF; boxes are converted to the displayed orientation"),
    "image-16-bit": FindingKind("note", "images with more than 8 bits per channel; converted to 8"),
    "image-gray": FindingKind("note", "grayscale images in a split with color images; read as RGB"),
    "image-cmyk": FindingKind("note", "CMYK images; read as RGB"),
    "image-duplicate": FindingKind("warning", "same file content twice in a split"),
    "leak": FindingKind("warning", "image of another split is also in the training split"),
    "leak-near": FindingKind("warning", "image of another split looks like one of the training split"),
}


@dataclass(frozen=True)
class Finding:
    """One problem of a dataset, or one note about it."""

    kind: str
    """Key of `KINDS`."""
    path: Path
    """File or folder."""
    line: int
    """Line in the file, 0 for the whole file."""
    text: str
    """Description of the problem and its fix."""

    @property
    def severity(self) -> Severity:
        """Severity of its kind."""
        return KINDS[self.kind].severity

    @property
    def location(self) -> str:
        """File and line in the form that editors link."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def __str__(self) -> str:
        return f"{self.location}: {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        return {"severity": self.severity, **asdict(self), "path": str(self.path), "line": self.line or None}


class InvalidDatasetError(LineageError):
    """The dataset has errors. The message lists the first ones."""


class LabelError(Exception):
    """An invalid entry in a label file, raised by readers before its file and line are known."""

    def __init__(self, kind: str, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.kind, self.text, self.line = kind, text, line

    def at(self, path: Path, line: int = 0) -> Finding:
        """Return the finding in a file, at the line of the error if it has one, or else at `line`."""
        return Finding(self.kind, path, self.line or line, self.text)


def raise_on_errors(path: Path, findings: Sequence[Finding]) -> None:
    """Raise an exception if any finding is an error.

    Raises:
        InvalidDatasetError: There are errors; the message lists the first ones and counts the others.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    count = "1 error in the dataset. Fix it" if len(errors) == 1 else f"{len(errors):,} errors in the dataset. Fix them"
    lines = [f"{path}: {count} before training.", *map(str, errors[:MAX_LISTED])]
    if len(errors) > MAX_LISTED:
        lines.append(f"... and {len(errors) - MAX_LISTED:,} more. Run `lineage data check {path}` to list all.")
    raise InvalidDatasetError("\n  ".join(lines))
