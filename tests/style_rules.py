"""Rules of plain language for code and documents.

List violations: `python -m tests.style_rules PATH...`
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.conftest import ROOT

MAX_WORDS = 25
OPENERS = re.compile(r"(What|How|Tell|Say|Let|Give)s?\b")
# Each pattern with what to write instead.
FORBIDDEN = {
    r"\btold\b|\btells?\b": "log, report, return, show or identify",
    r"\bgo(es)? on with\b|\bgone on with\b": "resume",
    r"\bcomes? to\b|\bcame to\b": "reaches, equals",
    r"\blaid down\b|\blays? down\b": "saved, written",
    r"\bpictures?\b|\bphotos?\b(?!\.(jpe?g|png))": "image",
    r"(?<!clean[- ])\brooms?\b|\bhouses?\b": "package, module, place",
    r"\bgood ?bye\b": "shutdown complete",
    r"\bwhat is not\b": "name the thing",
    r"\ba good deal\b|\bnobody's business\b": "plain words",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\banew\b": "again",
    r"\bin place of\b": "instead of",
    r"\bat the most\b": "at most",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE): better for pattern, better in FORBIDDEN.items()}
ANY_FORBIDDEN = re.compile("|".join(FORBIDDEN), re.IGNORECASE)
BRITISH = re.compile(
    r"\b(licence|colour|centre|grey|neighbour|behaviour|favour|honour|labell|unlabell|catalogue|artefact|analys(e|ed|ing)\b"
    r"|(normal|organ|recogn|initial|optim|serial|random|summar|minim|maxim|synchron|parametr|general|visual)is(e|ed|es|ing|ation)\b)",
    re.IGNORECASE,
)
CODE_SPAN = re.compile(r"``.*?``|`[^`]*`|https?://\S+|<[^>]+>", re.DOTALL)
MARKDOWN_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
# A full stop before a capital, an empty line, a list item, a table row, a colon at the end of a line, an argument.
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z`*\[(0-9\"'])|\n\s*\n|\n\s*(?:[-*|#]|\d+\.) ?|(?<=:)\n|\n +(?=[\w.]+: )"
)
CODE_BLOCK = re.compile(r"(?<=\n\n)(?: {4,}.*(?:\n|\Z))+")
TEXT_FILES = {".py", ".md", ".html", ".js", ".css", ".toml", ".yml", ".conf"}
NOT_OURS = {".venv", "node_modules", "build", "__pycache__"}
# Words of many languages, and markup of design systems.
DATA = re.compile(r"words\.toml|kits/[\w-]+\.toml")
UNDOCUMENTED_FIELDS = {"tests", "benchmarks", "examples"}
Finding = tuple[int, str]


def docstrings(nodes: Iterable[ast.AST]) -> Iterator[Finding]:
    """Yield line and text of every docstring, those of attributes included, without indented code."""
    for node in nodes:
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                value = statement.value.value
                if isinstance(value, str):
                    yield statement.lineno, CODE_BLOCK.sub("", inspect.cleandoc(value))


def comments(source: str) -> Iterator[Finding]:
    """Yield line and text of every comment, with comments on consecutive lines joined."""
    start, last, text = 0, -1, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, words = token.start[0], token.string.lstrip("#! ")
        whole_line = token.line.lstrip().startswith("#")
        if whole_line and line == last + 1:
            text, last = f"{text} {words}", line
            continue
        if text:
            yield start, text
        start, last, text = line, line if whole_line else -1, words
    if text:
        yield start, text


def messages(nodes: list[ast.AST], documented: set[int]) -> Iterator[Finding]:
    """Yield line and text of string literals that hold a sentence: errors, logs, help."""
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if node.lineno not in documented and text.count(" ") >= 2:
            yield node.lineno, text


def count_words(sentence: str) -> int:
    """Count words, with code spans, links and numbers as one word each."""
    plain = CODE_SPAN.sub("x", MARKDOWN_LINK.sub(r"\1", sentence))
    return len([word for word in plain.split() if re.search(r"[A-Za-z0-9]", word)])


def check_words(line: int, text: str) -> Iterator[Finding]:
    """Yield forbidden words and British spellings of a text."""
    plain = CODE_SPAN.sub("x", MARKDOWN_LINK.sub(r"\1", text))
    if ANY_FORBIDDEN.search(plain):
        for pattern, better in PATTERNS.items():
            yield from ((line, f"{match.group()!r}: use {better}") for match in pattern.finditer(plain))
    yield from ((line, f"{match.group()!r}: use American spelling") for match in BRITISH.finditer(plain))


def check_sentences(line: int, text: str) -> Iterator[Finding]:
    """Yield sentences of more than `MAX_WORDS` words."""
    for sentence in SENTENCE_END.split(text):
        if sentence.count(" ") + sentence.count("\n") >= MAX_WORDS and (count := count_words(sentence)) > MAX_WORDS:
            start = " ".join(sentence.split())[:60]
            yield line, f"{count} words in one sentence (max {MAX_WORDS}): {start}..."


def is_list(cell: str) -> bool:
    """Return True for a table cell that lists names: at least every third word ends with a comma."""
    words = cell.split()
    return sum(word.endswith(",") for word in words) * 3 >= len(words)


def check_first_line(line: int, text: str) -> Iterator[Finding]:
    """Yield faults of a docstring's first line."""
    first = text.strip().split("\n")[0]
    if OPENERS.match(first):
        yield line, f"docstring begins with {first.split()[0]!r}"
    if ";" in CODE_SPAN.sub("x", first):
        yield line, "semicolon in the first line of a docstring"


def is_record(node: ast.ClassDef) -> bool:
    """Return True for dataclasses and NamedTuples."""
    decorated = {ast.unparse(d).split("(")[0].split(".")[-1] for d in node.decorator_list}
    return "dataclass" in decorated or any(ast.unparse(base) == "NamedTuple" for base in node.bases)


def is_public_field(statement: ast.stmt) -> bool:
    """Return True for an annotated public attribute that is no ClassVar."""
    return (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and not statement.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(statement.annotation)
    )


def check_fields(nodes: Iterable[ast.AST]) -> Iterator[Finding]:
    """Yield fields of public dataclasses and NamedTuples without a docstring below them."""
    for node in nodes:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or not is_record(node):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if is_public_field(field) and not documented:
                assert isinstance(field, ast.AnnAssign)
                yield field.lineno, f"{node.name}.{ast.unparse(field.target)}: no docstring below the field"


def check_python(path: Path) -> Iterator[Finding]:
    """Yield violations of a Python file. Tests and scripts need not document fields."""
    source = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    documented = list(docstrings(nodes))
    for line, text in documented:
        yield from check_first_line(line, text)
    for line, text in [*documented, *(comments(source) if "#" in source else ())]:
        yield from check_sentences(line, text)
        yield from check_words(line, text)
    for line, text in messages(nodes, {line for line, _ in documented}):
        yield from check_words(line, text)
    if path.relative_to(ROOT).parts[0] not in UNDOCUMENTED_FIELDS:
        yield from check_fields(nodes)


def check_markdown(path: Path) -> Iterator[Finding]:
    """Yield violations of a document. Fenced and indented code does not count."""
    paragraph, start, fenced, listed = list[str](), 1, False, False
    for number, line in enumerate([*path.read_text(encoding="utf-8").split("\n"), ""], 1):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        starts = bool(re.match(r"\s*([-*|#>] |[-|#>]|\d+\. )", line))
        listed = bool(re.match(r"\s*([-*]|\d+\.) ", line)) or (listed and (not line or line.startswith(" ")))
        is_code = fenced or fence or (line.startswith("    ") and not listed)
        if paragraph and (is_code or starts or not line.strip()):
            yield from check_sentences(start, " ".join(paragraph))
            yield from check_words(start, " ".join(paragraph))
            paragraph = []
        if is_code or not line.strip():
            continue
        start = start if paragraph else number
        if line.lstrip().startswith("|"):
            for cell in line.split("|"):
                yield from check_sentences(number, "" if is_list(cell) else cell)
                yield from check_words(number, cell)
        else:
            paragraph.append(line.strip())


def check_text(path: Path) -> Iterator[Finding]:
    """Yield forbidden words of a page, a script, a style sheet or a settings file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        yield from check_words(number, re.sub(r"</?\w[^>]*>", " ", line))


def violations(path: Path) -> list[str]:
    """Return the violations of a file as `path:line: text`."""
    check = {".py": check_python, ".md": check_markdown}.get(path.suffix, check_text)
    return [f"{path.relative_to(ROOT)}:{line}: {text}" for line, text in sorted(set(check(path)))]


def files_under(places: Iterable[str | Path]) -> list[Path]:
    """Return the text files under files or folders."""
    files = {p for place in places for p in ([Path(place)] if Path(place).is_file() else Path(place).rglob("*"))}
    texts = {path.resolve() for path in files if path.suffix in TEXT_FILES and not DATA.search(path.as_posix())}
    return sorted(
        path for path in texts | {p.resolve() for p in files if not p.suffix and p.is_file()} if is_ours(path)
    )


def is_ours(path: Path) -> bool:
    """Return True for files of this project, except the list of forbidden words and its tests."""
    return not NOT_OURS & {*path.parts} and path.name not in ("style_rules.py", "test_style.py")


if __name__ == "__main__":
    listed = [text for path in files_under(sys.argv[1:]) for text in violations(path)]
    sys.stdout.write("\n".join([*listed, f"{len(listed)} violations\n"]))
