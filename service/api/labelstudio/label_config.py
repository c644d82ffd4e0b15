"""Read the labeling configuration (XML) of a Label Studio project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from service.api.errors import BadRequest

MAX_BYTES: Final = 1_000_000
_LABELS, _LABEL, _IMAGE = "RectangleLabels", "Label", "Image"


@dataclass(frozen=True)
class Control:
    """The tag for boxes: where they belong, and the labels they may have."""

    from_name: str
    """Name of the tag with the labels."""
    to_name: str
    """Name of the tag with the image."""
    data_key: str
    """Member of a task's data that has the image."""
    labels: Mapping[str, str]
    """Label of the project by name of a class, in lower case."""
    model: str | None = None
    """Reference of the model, from the attribute `model`."""
    score: float | None = None
    """Min score, from the attribute `model_score_threshold`."""

    def labels_by_class(self, class_names: Sequence[str]) -> dict[int, str]:
        """Return the labels of the model's classes by index. Classes without one are left out."""
        names = ((index, name.strip().casefold()) for index, name in enumerate(class_names))
        return {index: self.labels[name] for index, name in names if name in self.labels}


@dataclass
class _Reader:
    """Collects tags while the parser reads them."""

    images: dict[str, str] = field(default_factory=dict)
    """Data keys of the images by name."""
    controls: list[tuple[Mapping[str, str], list[Mapping[str, str]]]] = field(default_factory=list)
    """Attributes of each tag for boxes, and of its labels."""
    is_open: bool = False
    """Whether the parser is inside a tag for boxes."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Note a tag that begins."""
        if tag == _IMAGE:
            self.images[attributes.get("name", "")] = attributes.get("value", "").removeprefix("$")
        elif tag == _LABELS:
            self.controls.append((attributes, []))
            self.is_open = True
        elif tag == _LABEL and self.is_open:
            self.controls[-1][1].append(attributes)

    def end(self, tag: str) -> None:
        """Note a tag that ends."""
        if tag == _LABELS:
            self.is_open = False


def find_control(config: str) -> Control | None:
    """Return the first `<RectangleLabels>` that labels an `<Image>`, or None if there is none.

    Raises:
        BadRequest: the text is no XML, has a DOCTYPE, or is very long.
    """
    reader = _parse(config)
    for attributes, labels in reader.controls:
        if data_key := reader.images.get(attributes.get("toName", "")):
            return Control(
                from_name=attributes.get("name", ""),
                to_name=attributes["toName"],
                data_key=data_key,
                labels=_labels_by_name(labels),
                model=attributes.get("model") or None,
                score=_score(attributes.get("model_score_threshold", "")),
            )
    return None


def _parse(config: str) -> _Reader:
    if len(config) > MAX_BYTES:
        raise BadRequest(f"label_config: expected at most {MAX_BYTES:,} characters; got {len(config):,}")
    reader, parser = _Reader(), expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = _refuse_doctype  # entities are declared there
    try:
        parser.Parse(config.encode("utf-8", "replace") if config.strip() else b"<View/>", True)
    except expat.ExpatError as error:
        raise BadRequest(f"label_config: expected XML; {error}") from None
    return reader


def _refuse_doctype(*_: object) -> None:
    raise BadRequest("label_config: expected XML without a DOCTYPE; remove it")


def _labels_by_name(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return labels by their own names, and by the `predicted_values`, which take precedence."""
    own = {label["value"]: label["value"] for label in labels if label.get("value")}
    predicted = {
        name: label["value"]
        for label in labels
        if label.get("value")
        for name in label.get("predicted_values", "").split(",")
    }
    return {name.strip().casefold(): label for name, label in (own | predicted).items() if name.strip()}


def _score(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise BadRequest(f"model_score_threshold: expected a number from 0 to 1; got {text[:100]!r}") from None
