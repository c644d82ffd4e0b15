"""The measures of the structure, and the import diagram in docs/architecture.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import structure

SOURCE = '''"""A module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a import first
if TYPE_CHECKING:
    from b import second


def outer() -> int:
    """Return a number."""
    from c import third

    # a comment
    def inner() -> int:
        return third

    return inner()
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the module `service.main` and three modules that it imports."""
    monkeypatch.setattr(structure, "ROOT", tmp_path)
    for name, source in {"main": SOURCE.replace("from ", "from service."), "a": "", "b": "", "c": ""}.items():
        path = tmp_path / "service" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source.replace("service.__future__", "__future__").replace("service.typing", "typing"))
    return tmp_path


def test_function_lengths_count_code_lines_without_nested_functions(project: Path) -> None:
    lengths = structure.function_lengths([project / "service" / "main.py"])
    assert [tuple(length) for length in lengths] == [(1, "service/main.py:inner"), (2, "service/main.py:outer")]


def test_file_lengths_count_all_lines(project: Path) -> None:
    assert structure.file_lengths([project / "service" / "main.py"])[0].lines == len(SOURCE.splitlines())


def test_module_graph_includes_lazy_imports_on_request(project: Path) -> None:
    assert project
    assert structure.module_graph()["service.main"] == {"service.a", "service.b", "service.c"}
    assert structure.module_graph(lazy=False)["service.main"] == {"service.a"}


def test_find_cycle_returns_the_circle() -> None:
    assert structure.find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(structure.find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_without_detours_drops_edges_that_longer_paths_imply() -> None:
    assert structure.without_detours({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_with_diagram_replaces_the_text_between_the_markers() -> None:
    document = f"before {structure.BEGIN} old {structure.END} after"
    renewed = structure.with_diagram(document)
    assert renewed.startswith(f"before {structure.BEGIN}\n```mermaid")
    assert renewed.endswith(f"```\n{structure.END} after")
    assert structure.with_diagram(renewed) == renewed


def test_diagram_in_the_document_is_up_to_date() -> None:
    document = structure.DOCUMENT.read_text(encoding="utf-8")
    assert document == structure.with_diagram(document), "run: python -m benchmarks.structure --write"
