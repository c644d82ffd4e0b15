"""Measure the structure of the code: sizes, imports between packages, import cycles.

    python -m benchmarks.structure            # print the tables
    python -m benchmarks.structure --write    # and draw the import diagram into docs/architecture.md

Lines of a function are the code lines of its body. Docstrings, blank lines and comments do not count. A nested function
counts for itself, not for the function around it. Lines of a file are all its lines.
"""

from __future__ import annotations

import ast
import functools
import io
import statistics
import tokenize
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import tyro

from lineage.cli.tables import format_table

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"
PACKAGES = ("lineage", "model_zoo", "service", "training")
SCRIPTS = ("tests", "examples", "benchmarks", "tools")
# What the diagram draws as one box: packages whose parts belong together, and the modules beside them.
FOLDED = {"training": "training", "lineage": "lineage.cli", "model_zoo": "model_zoo networks"}
APART = {
    "lineage.client",
    "model_zoo.batch",
    "model_zoo.convert",
    "model_zoo.pull",
    "model_zoo.contract",
    "model_zoo.runtime",
    "model_zoo.weights",
    "model_zoo.export",
    "model_zoo.onnx_import",
}
NOT_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Graph = dict[str, set[str]]


class Length(NamedTuple):
    """Lines of a file or of the body of a function."""

    lines: int
    name: str


def python_files(*places: str) -> list[Path]:
    """Return the Python files below folders of the project."""
    return [
        path for place in places for path in sorted((ROOT / place).rglob("*.py")) if "node_modules" not in path.parts
    ]


def name_of(path: Path) -> str:
    """Return the path within the project."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def file_lengths(files: Iterable[Path]) -> list[Length]:
    """Return the lines of files, the longest last."""
    return sorted(Length(len(path.read_text(encoding="utf-8").splitlines()), name_of(path)) for path in files)


def function_lengths(files: Iterable[Path]) -> list[Length]:
    """Return the code lines of all functions, the longest last."""
    return sorted(length for path in files for length in _functions_of(path))


def _functions_of(path: Path) -> Iterator[Length]:
    code = _code_lines(path)
    for node in nodes_of(path):
        if isinstance(node, Function):
            yield Length(_body_length(node, code), f"{name_of(path)}:{node.name}")


def _code_lines(path: Path) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {line for t in tokens if t.type not in NOT_CODE for line in range(t.start[0], t.end[0] + 1)}


def _lines_of(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _body_length(function: Function, code: set[int]) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    lines = {line for statement in body for line in _lines_of(statement)} & code
    nested = (n for statement in body for n in ast.walk(statement) if isinstance(n, Function))
    return len(lines.difference(*(_lines_of(n) for n in nested)))


def percentile_95(lengths: list[Length]) -> int:
    """Return the length that 95 % of a sorted list do not exceed."""
    return lengths[int(0.95 * len(lengths))].lines


def imported_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the dotted names that nodes import, with the attribute for `from` imports."""
    names = set[str]()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def module_graph(lazy: bool = True) -> Graph:
    """Return which modules of the packages each one imports. `lazy` includes imports within functions."""
    modules = {module_of(path): path for path in python_files(*PACKAGES)}
    graph: Graph = {}
    for module, path in modules.items():
        names = imported_names(nodes_of(path) if lazy else _top_level(path))
        graph[module] = {found for name in names if (found := _known(name, modules)) and found != module}
    return graph


def _top_level(path: Path) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported: everything outside functions and `if TYPE_CHECKING`."""
    pending: list[ast.AST] = [nodes_of(path)[0]]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, Function) and not (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            pending.extend(ast.iter_child_nodes(node))


def _known(name: str, modules: Iterable[str]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def group_of(module: str) -> str:
    """Return the box of the diagram that a module belongs to."""
    group = ".".join(module.split(".")[:2])
    return group if group in APART else FOLDED.get(module.partition(".")[0], group)


def grouped(graph: Graph) -> Graph:
    """Return the imports between the boxes of the diagram."""
    groups: Graph = {group_of(module): set() for module in graph}
    for module, imported in graph.items():
        groups[group_of(module)] |= {group_of(other) for other in imported} - {group_of(module)}
    used = set().union(*groups.values())
    return {group: imported for group, imported in groups.items() if imported or group in used}


def find_cycle(graph: Graph) -> list[str]:
    """Return modules that import each other in a circle. Returns an empty list if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def without_detours(graph: Graph) -> Graph:
    """Return the graph without edges that a longer path implies. Needs a graph without cycles."""
    reach: Graph = {}
    for node in TopologicalSorter(graph).static_order():
        reach[node] = graph[node].union(*(reach[other] for other in graph[node]))
    return {node: {n for n in out if not any(n in reach[other] for other in out)} for node, out in graph.items()}


def draw_diagram() -> str:
    """Return the imports between packages as a Mermaid diagram. An arrow points to the imported package."""
    graph = grouped(module_graph())
    names = {group: group.replace(".", "_").replace(" ", "_") for group in sorted(graph)}
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        lines.append(f"    subgraph {package}_box[{package}]")
        lines += [f"        {names[group]}[{group}]" for group in names if group.split(".")[0].split()[0] == package]
        lines.append("    end")
    drawn = graph if find_cycle(graph) else without_detours(graph)
    lines += [f"    {names[group]} --> {names[other]}" for group in names for other in sorted(drawn[group])]
    return "\n".join([*lines, "```"])


def with_diagram(document: str) -> str:
    """Return the document with a new diagram between its markers."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{draw_diagram()}\n{END}{after}"


def sizes() -> list[list[str]]:
    """Return a row of sizes for each package and script folder, below a header."""
    rows = [["folder", "files", "lines", "median file", "longest file", "functions", "median", "95th percentile"]]
    for place in (*PACKAGES, *SCRIPTS):
        files, functions = file_lengths(python_files(place)), function_lengths(python_files(place))
        numbers = (
            *(len(files), sum(file.lines for file in files), statistics.median(file.lines for file in files)),
            *(f"{files[-1].lines} ({files[-1].name})", len(functions)),
            *(statistics.median(f.lines for f in functions), percentile_95(functions)),
        )
        rows.append([place, *map(str, numbers)])
    return rows


def main(write: bool = False) -> None:
    """Print the measures of the structure.

    Args:
        write: Draw the import diagram into docs/architecture.md.
    """
    graph = module_graph()
    print(format_table(sizes()))
    for package in PACKAGES:
        roots = [path.name for path in sorted((ROOT / package).glob("*.py"))]
        print(f"root modules of {package}: {len(roots)} ({', '.join(roots)})")
    for group, imported in sorted(grouped(graph).items()):
        print(f"{group} imports {', '.join(sorted(imported)) or 'nothing from the project'}")
    print("import cycle:", " -> ".join(find_cycle(module_graph(lazy=False))) or "none")
    print("import cycle, lazy imports included:", " -> ".join(find_cycle(graph)) or "none")
    if write:
        DOCUMENT.write_text(with_diagram(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
