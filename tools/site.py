"""Collect the sources of the documentation site: the documents, and every file that they link to.

    python -m tools.site --output build/docs/sources

The files keep their places in the tree, so that a link works on the site, in a checkout and on a code host. A link to
a file that does not exist, or that is outside the repository, is an error. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).resolve().parents[1]
LINK: Final = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)[^)]*\)")
CODE: Final = re.compile(r"^```.*?^```|^(?: {4,}[^\n]*\n)+|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def main(root: Path, output: Path) -> int:
    """Copy the sources into an empty folder, and return the exit status."""
    try:
        found = collect(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    shutil.rmtree(output, ignore_errors=True)
    for path in found:
        copy = output / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    print(f"{output}: {len(found)} files")
    return 0


def collect(root: Path) -> list[Path]:
    """Return README.md, all documents in docs/, and all files that they link to, directly or through others.

    Raises:
        ValueError: links lead nowhere; the message lists them.
    """
    found = {root / "README.md", *(root / "docs").rglob("*.md")}
    wrong: list[str] = []
    queue = sorted(found)
    while queue:
        document = queue.pop()
        for target in linked(document):
            if not target.is_file() or not target.is_relative_to(root):
                wrong.append(f"{document.relative_to(root)}: expected a link to a file of the repository; got {target}")
            elif target not in found:
                found.add(target)
                queue += [target] if target.suffix == ".md" else []
    if wrong:
        raise ValueError("\n".join(sorted(wrong)))
    return sorted(found)


def linked(document: Path) -> Iterator[Path]:
    """Yield the targets of the relative links of a document, outside of code."""
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        yield (document.parent / unquote(link)).resolve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "docs" / "sources")
    sys.exit(main(ROOT, parser.parse_args().output))
