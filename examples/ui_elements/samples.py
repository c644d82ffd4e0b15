"""Sample images of the playground: `python -m examples.ui_elements.samples --output DIR`.

Pages of the test split's design systems and types, of a seed that no dataset is made from.
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
from examples.ui_elements.errors import told
from examples.ui_elements.generate import PICTURES, Order, shoot_page

SEED = 2026
PAGES = {
    "file-manager": 89,
    "file-manager-phone": 26,
    "pricing-phone-arabic": 37,
    "results-tablet-japanese": 64,
    "wizard": 31,
    "wizard-dark": 0,
}


def draw_samples(output: Path) -> None:
    """Draw the pages and save their pictures in a folder."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        scratch = Path(folder)
        page_content.write_pictures(scratch / "pictures", PICTURES, SEED)
        camera = Camera(browser)
        for name, number in PAGES.items():
            scene = shoot_page(camera, Order("test", number, SEED, scratch))
            shutil.copyfile(scratch / "images" / scene.name, output / f"{name}.jpg")
        camera.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and draw the samples."""
    parser = argparse.ArgumentParser(description="Draw the sample pictures of the playground.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    options = parser.parse_args(arguments)
    return told(lambda: draw_samples(options.output))


if __name__ == "__main__":
    sys.exit(main())
