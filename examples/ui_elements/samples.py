"""Render the sample images of the playground: `python -m examples.ui_elements.samples --output DIR`.

The pages are of the test split's design systems and page types, with a seed that no dataset uses.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from examples.ui_elements import page_content
from examples.ui_elements.browser import Camera, chromium
from examples.ui_elements.errors import run_main
from examples.ui_elements.generate import IMAGE_COUNT, PageSpec, capture_page

SEED = 2026
PAGES = {
    "file-manager": 89,
    "file-manager-phone": 26,
    "pricing-phone-arabic": 37,
    "results-tablet-japanese": 64,
    "wizard": 31,
    "wizard-dark": 0,
}


def write_samples(output: Path) -> None:
    """Render the pages and save them in a folder."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        scratch = Path(folder)
        page_content.write_images(scratch / "content", IMAGE_COUNT, SEED)
        camera = Camera(browser)
        for name, number in PAGES.items():
            image = capture_page(camera, PageSpec("test", number, SEED, scratch))
            shutil.copyfile(scratch / "images" / image.name, output / f"{name}.jpg")
        camera.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write the samples."""
    parser = argparse.ArgumentParser(description="Render the sample images of the playground.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the images")
    options = parser.parse_args(arguments)
    return run_main(lambda: write_samples(options.output))


if __name__ == "__main__":
    sys.exit(main())
