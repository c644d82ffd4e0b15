"""Read class names from a file: one name a line, as Darknet's `.names`, or the `names` of a data.yaml.

`.names` files are found beside the weights: those of the same stem, those that a `.data` file names, or `obj.names`.
"""

from __future__ import annotations

from pathlib import Path

from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import describe
from model_zoo.contract.files import text_encoding
from model_zoo.weights.class_names import clean_name, read_class_names

MAX_BYTES = 1_000_000


def read_names_file(path: str | Path, count: int | None = None) -> tuple[str, ...]:
    """Read the names of `count` classes, of any number by default. An empty line in the list is a class without a name.

    Raises:
        LineageError: The file cannot be read, or has another number of names.
    """
    path = Path(path)
    names = _yaml_names(path, count) if path.suffix in (".yaml", ".yml", ".json") else _lines(path, count)
    if count is not None and len(names) != count:
        raise LineageError(f"{path}: expected the names of the network's {count} classes; got {len(names)}")
    return names


def find_names_file(weights: str | Path, cfg: str | Path | None = None) -> Path | None:
    """Return the names file beside the weights or the cfg, None if there is none."""
    stems = [Path(path) for path in (weights, cfg) if path]
    candidates = [path.with_suffix(".names") for path in stems]
    candidates += [names for path in stems for names in _named_by(path.with_suffix(".data"))]
    candidates += [names for path in stems for names in _named_by(path.with_name("obj.data"))]
    candidates += [path.with_name("obj.names") for path in stems]
    return next((path for path in candidates if path.is_file()), None)


def _named_by(data: Path) -> list[Path]:
    """Return where the file may be that a Darknet `.data` file calls `names`: paths are relative to any folder."""
    if not data.is_file():
        return []
    pairs = [line.partition("=") for line in _text(data).splitlines()]
    values = [Path(value.strip()) for key, _, value in pairs if key.strip() == "names" and value.strip()]
    return [folder for value in values for folder in (data.parent / value, data.with_name(value.name))]


def _lines(path: Path, count: int | None) -> tuple[str, ...]:
    lines = _text(path).rstrip().splitlines()
    if len(lines) != count:
        lines = [line for line in lines if line.strip()]
    return tuple(clean_name(line, index) for index, line in enumerate(lines))


def _yaml_names(path: Path, count: int | None) -> tuple[str, ...]:
    import yaml  # type: ignore[import-untyped]

    try:
        document = yaml.safe_load(_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LineageError(f"{path}: expected a YAML document; {error}") from error
    names = document.get("names", document) if isinstance(document, dict) else document
    return read_class_names(names, count)


def _text(path: Path) -> str:
    """Read a text in UTF-8 or UTF-16.

    Raises:
        LineageError: The file cannot be read, is too large or has another encoding.
    """
    if not path.is_file():
        raise LineageError(f"expected a file with class names; {path} is {describe(path)}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise LineageError(f"{path}: expected class names, one a line; the file has over {MAX_BYTES:,} bytes")
    try:
        text = data.decode(text_encoding(data))
    except UnicodeDecodeError as error:
        raise LineageError(f"{path}: expected class names in UTF-8; got {describe(path)}. Save it as UTF-8") from error
    if "\0" in text:
        raise LineageError(f"{path}: expected class names, one a line; got {describe(path)}")
    return text
