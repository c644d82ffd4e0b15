"""What can be wrong with a dataset: the kinds of findings, and one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from model_zoo.contract.errors import LineageError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
LISTED = 5  # errors that a refusal names; the rest is counted


class Kind(NamedTuple):
    """How bad a kind of finding is, and what it means.

    error: training refuses. warning: the set is read, and something in it is left out, mended or doubtful. note: what
    the reader does is worth knowing.
    """

    severity: Severity
    meaning: str


KINDS = {
    "file-empty": Kind("error", "a JSON, YAML or XML file without content"),
    "invalid-json": Kind("error", "a COCO file that is not JSON, or is cut short"),
    "invalid-yaml": Kind("error", "a description that is not YAML"),
    "invalid-xml": Kind("error", "a VOC file that is not XML, or is cut short"),
    "invalid-text": Kind("error", "a label file that is not text in UTF-8"),
    "field-missing": Kind("error", "a field that the format needs is not there, or of another type"),
    "classes": Kind("error", "class names that are missing, empty, given twice or numbered with gaps"),
    "classes-nc": Kind("error", "nc is not the number of names"),
    "classes-differ": Kind("error", "files of one set give a class different names or ids"),
    "split-missing": Kind("error", "a folder or list of a split is not there"),
    "test-missing": Kind("warning", "the test split, or all its labels, is not there; left out"),
    "split-empty": Kind("error", "a split without images"),
    "no-train": Kind("warning", "no split has a name of training data"),
    "no-objects": Kind("error", "no image that is trained on has an object"),
    "split-without-objects": Kind("warning", "no image of a split has an object"),
    "class-without-objects": Kind("warning", "classes that no object has"),
    "labels-missing": Kind("error", "not one image of a split has a label file"),
    "label-missing": Kind("warning", "an image without a label file (YOLO: it counts as empty)"),
    "label-orphan": Kind("warning", "a label file without an image"),
    "columns": Kind("error", "a line of the wrong number of columns"),
    "number": Kind("error", "text, NaN or infinity where a number is needed"),
    "class-range": Kind("error", "a class number beyond the names"),
    "duplicate-image-id": Kind("error", "two images of one id"),
    "duplicate-annotation-id": Kind("warning", "two annotations of one id"),
    "unknown-image": Kind("error", "an annotation for an image that is not listed"),
    "unknown-category": Kind("error", "an annotation for a category, or an object of a class, that is not listed"),
    "box-not-normalized": Kind("error", "coordinates beyond 1 where shares of the image are needed"),
    "box-negative": Kind("error", "a box whose right or bottom edge comes before its left or top"),
    "box-outside": Kind("error", "a box of which nothing lies inside the image"),
    "box-empty": Kind("warning", "a box without width or height; left out"),
    "box-over-edge": Kind("warning", "a box that reaches more than a pixel over the edge of the image; clipped"),
    "box-duplicate": Kind("warning", "the same box and class twice in an image"),
    "images-missing": Kind("error", "not one image of a split is there"),
    "image-missing": Kind("error", "an image that is not there"),
    "image-empty": Kind("error", "an image file without content"),
    "image-unreadable": Kind("error", "an image that is cut short, damaged or of a kind that is not read"),
    "image-size": Kind("error", "an image of another size than its labels tell"),
    "image-rotated": Kind("note", "images that EXIF turns; boxes are brought to the picture as displayed"),
    "image-16-bit": Kind("note", "images of more than eight bits a channel; rounded to eight"),
    "image-gray": Kind("note", "grayscale images in a split that has others; read as RGB"),
    "image-cmyk": Kind("note", "CMYK images; read as RGB"),
    "image-duplicate": Kind("warning", "the same file content twice in a split"),
    "leak": Kind("warning", "an image of a split that is in the training split, too"),
    "leak-near": Kind("warning", "an image of a split that looks like one of the training split"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: of a kind of `KINDS`, in a file, at a line of it (0: the file as a whole)."""

    kind: str
    path: Path
    line: int
    text: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    @property
    def place(self) -> str:
        """File and line, as editors understand it."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        return {"severity": self.severity, **asdict(self), "path": str(self.path), "line": self.line or None}


class InvalidDatasetError(LineageError):
    """A dataset with errors, of which the text names the first."""


class Fault(Exception):
    """What a reader found wrong at the place it is reading; it becomes a Finding where the place is known."""

    def __init__(self, kind: str, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.kind, self.text, self.line = kind, text, line

    def at(self, path: Path, line: int = 0) -> Finding:
        """Return the finding, at a line of a file unless the fault knows its line."""
        return Finding(self.kind, path, self.line or line, self.text)


def raise_on_errors(path: Path, findings: Sequence[Finding]) -> None:
    """Raise InvalidDatasetError if there are errors: it lists the first and counts the rest."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    count = "1 error" if len(errors) == 1 else f"{len(errors):,} errors"
    lines = [f"{path}: {count} in the dataset; mend them, nothing is trained on it before", *map(str, errors[:LISTED])]
    if len(errors) > LISTED:
        lines.append(f"and {len(errors) - LISTED:,} more; `lineage data check {path}` lists them")
    raise InvalidDatasetError("\n  ".join(lines))
