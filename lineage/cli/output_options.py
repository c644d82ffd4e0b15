"""Options of `lineage detect`: the form and the place of its results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO, get_args

from loky import cpu_count

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError

if TYPE_CHECKING:
    from model_zoo.contract.package import Package
    from model_zoo.runtime.detect_frames import Result
    from model_zoo.sources.open import Sources

RECORDS: Final = ("json-lines", "csv")
OutputFormat = Literal["json-lines", "csv", "coco", "yolo", "label-studio", "crops"]


@dataclass(frozen=True)
class OutputOptions:
    """Form and place of the results."""

    save: Annotated[Path | None, option("FOLDER")] = None
    """Folder for copies of the images and videos with boxes drawn."""
    as_json: Annotated[bool, option(name="json")] = False
    """Print JSON instead of a table. Images only."""
    format: OutputFormat | None = None
    """Form of the detections. json-lines and csv are printed, or written to the file --output. The others are written
    to the folder --output."""
    output: Annotated[Path | None, option("PATH")] = None
    """New file or folder for --format."""
    image_url: Annotated[str, option("URL")] = "/data/local-files/?d="
    """Start of the images' addresses in the tasks of Label Studio."""

    @property
    def target(self) -> Path | None:
        """The file or folder for `format`, None for standard output."""
        return None if self.output == Path("-") else self.output

    @property
    def is_table(self) -> bool:
        """Whether a table is printed."""
        return not (self.as_json or self.format)

    def check(self) -> None:
        """Check the options, before any work.

        Raises:
            LineageError: They contradict each other, or a place is taken.
        """
        if self.format and self.as_json:
            raise LineageError("--format and --json are two forms of the output; expected one of them")
        if self.target and not self.format:
            raise LineageError(f"--output belongs to --format; expected --format {' or '.join(get_args(OutputFormat))}")
        if self.format and not self.target and self.format not in RECORDS:
            raise LineageError(f"--format {self.format} writes a folder; expected --output FOLDER")
        self._check_places()

    def write(
        self, stack: ExitStack, results: Iterator[Result], package: Package, sources: Sources
    ) -> Iterator[Result]:
        """Return results that are written while they are yielded. The stack closes the files."""
        from model_zoo.outputs.drawn import plan_copies, save_drawn
        from model_zoo.outputs.records import write_records
        from model_zoo.runtime.label_files import name_images, write_labels

        class_names, target = package.card.class_names, self.target
        if self.save:
            threads = 1 if sources.is_live else int(cpu_count())
            results = save_drawn(results, plan_copies(sources.items, self.save), class_names, threads)
        if self.format == "json-lines" or self.format == "csv":
            file = stack.enter_context(_create(target)) if target else sys.stdout
            return write_records(results, class_names, self.format, file)
        if self.format and target:
            names = name_images([source.name for source in sources.items], self.format)
            return write_labels(results, package, names, target, self.format, self.image_url)
        return results

    def _check_places(self) -> None:
        from model_zoo.contract.targets import check_file_target, check_folder_target
        from model_zoo.runtime.label_files import check_new_folder

        target = self.target
        if target and self.format in RECORDS:
            if os.path.lexists(target):
                raise LineageError(f"{target}: expected a file that does not exist yet; choose another, or remove it")
            check_file_target(target)
        elif target:
            check_new_folder(target)
        if self.save:
            check_folder_target(self.save)
        if self.save and target and self.save.resolve().is_relative_to(target.resolve()):
            raise LineageError(f"--save {self.save}: expected a folder outside of --output {target}")


def _create(path: Path) -> TextIO:
    return path.open("x", encoding="utf-8", errors="backslashreplace", newline="")  # names of files are any bytes


TABLE: Final = OutputOptions()
