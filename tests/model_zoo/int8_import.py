"""Import yolov5n in int8 with a given largest weight, or print as JSON whether the golden images refuse it."""

from __future__ import annotations

import json
import sys

from lineage.cli.main import main
from model_zoo.export import quantize


def run(command: str, *arguments: str) -> None:
    if command == "verify":
        sys.stdout.write("\n" + json.dumps(main(["models", "verify", "--repository", *arguments]) != 0))
        return
    quantize.MAX_WEIGHT_STEP = int(command)
    shared, repository = arguments
    calibration = ["--precision", "int8", "--calibration", f"{shared}/data/coco_mini/images", "--calibration-images=8"]
    assert main(["import", f"{shared}/weights/yolov5n.pt", *calibration, "--repository", repository]) == 0


if __name__ == "__main__":
    run(*sys.argv[1:])
