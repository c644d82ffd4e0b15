"""Rules of plain language for code and documents.

List violations: `python -m tests.style_rules PATH...`
"""

from __future__ import annotations

import ast
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
    r"\brooms?\b|\bhouses?\b": "package, module, place",
    r"\bgood ?bye\b": "shutdown complete",
    r"\bwhat is not\b": "name the thing",
    r"\ba good deal\b|\bnobody's business\b": "plain words",
}
BRITISH = re.compile(
    r"\b(licence|colour|centre|grey|neighbour|behaviour|favour|honour|labell|unlabell|catalogue|artefact|analys(e|ed|ing)\b"
    r"|(normal|organ|recogn|initial|optim|serial|random|summar|minim|maxim|synchron|parametr|general|visual)is(e|ed|es|ing|ation)\b)",
    re.IGNORECASE,
)
CODE_SPAN = re.compile(r"``.*?``|`[^`]*`|https?://\S+|<[^>]+>", re.DOTALL)
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z`*\[(0-9\"'])|\n\s*\n|\n\s*[-*|#] ?|(?<=:)\n")
Place = tuple[int, str]


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring, those of attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                value = statement.value.value
                if isinstance(value, str):
                    yield statement.lineno, value


def comments(source: str) -> Iterator[tuple[int, str]]:
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


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of string literals that hold a sentence: errors, logs, help."""
    documented = {line for line, _ in docstrings(tree)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values]
            text = "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if node.lineno not in documented and text.count(" ") >= 2:
            yield node.lineno, text


def words_of(sentence: str) -> int:
    """Count words, with code spans, links and numbers as one word each."""
    plain = CODE_SPAN.sub("x", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence))
    return len([word for word in plain.split() if re.search(r"[A-Za-z0-9]", word)])


def check_words(line: int, text: str) -> Iterator[Place]:
    """Yield forbidden words and British spellings of a text."""
    plain = CODE_SPAN.sub("x", text)
    for pattern, better in FORBIDDEN.items():
        for found in re.finditer(pattern, plain, re.IGNORECASE):
            yield line, f"{found.group()!r}: use {better}"
    for found in BRITISH.finditer(plain):
        yield line, f"{found.group()!r}: use American spelling"


def check_sentences(line: int, text: str) -> Iterator[Place]:
    """Yield sentences of more than `MAX_WORDS` words."""
    for sentence in SENTENCE_END.split(text):
        if sentence and words_of(sentence) > MAX_WORDS:
            yield (
                line,
                f"{words_of(sentence)} words in one sentence (max {MAX_WORDS}): {' '.join(sentence.split())[:60]}...",
            )


def check_first_line(line: int, text: str) -> Iterator[Place]:
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


def check_fields(tree: ast.AST) -> Iterator[Place]:
    """Yield fields of public dataclasses and NamedTuples without a docstring beside them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or not is_record(node):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if (
                not documented
                and not field.target.id.startswith("_")
                and "ClassVar" not in ast.unparse(field.annotation)
            ):
                yield field.lineno, f"{node.name}.{field.target.id}: no docstring beside the field"


def check_python(path: Path) -> Iterator[Place]:
    """Yield violations of a Python file; tests and scripts need not document fields."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    for line, text in docstrings(tree):
        yield from check_first_line(line, text)
        yield from check_sentences(line, text)
        yield from check_words(line, text)
    for line, text in comments(source):
        yield from check_words(line, text)
        yield from check_sentences(line, text)
    for line, text in messages(tree):
        yield from check_words(line, text)
    if path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks", "examples"):
        yield from check_fields(tree)


def check_markdown(path: Path) -> Iterator[Place]:
    """Yield violations of a document; fenced and indented code does not count."""
    text, paragraph, start, fenced = path.read_text(encoding="utf-8"), list[str](), 1, False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        is_code = fenced or line.startswith(("    ", "```"))
        starts = bool(re.match(r"\s*([-*|#>]|\d+\.) ?", line))
        if paragraph and (is_code or starts or not line.strip()):
            yield from check_sentences(start, " ".join(paragraph))
            yield from check_words(start, " ".join(paragraph))
            paragraph = []
        if line.strip() and not is_code:
            start = start if paragraph else number
            if "|" in line and line.lstrip().startswith("|"):
                for cell in line.split("|"):
                    yield from check_sentences(number, cell)
                    yield from check_words(number, cell)
            else:
                paragraph.append(line.strip())


def violations(path: Path) -> list[str]:
    """Return the violations of a file as `path:line: text`."""
    check = check_python if path.suffix == ".py" else check_markdown
    return [f"{path.relative_to(ROOT)}:{line}: {text}" for line, text in sorted(set(check(path)))]


def files_under(places: Iterable[str]) -> list[Path]:
    """Return Python files and documents under files or folders."""
    paths = [Path(place).resolve() for place in places]
    found = {p for path in paths for p in ([path] if path.is_file() else path.rglob("*")) if p.suffix in (".py", ".md")}
    return sorted(path for path in found if not {".venv", "node_modules", "build"} & {*path.parts})


if __name__ == "__main__":
    listed = [text for path in files_under(sys.argv[1:]) for text in violations(path)]
    sys.stdout.write("\n".join([*listed, f"{len(listed)} violations\n"]))
