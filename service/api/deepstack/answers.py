"""Answers of DeepStack and CodeProject.AI, as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from model_zoo.contract.detections import SCORE_DECIMALS
from model_zoo.contract.plural import plural
from service.inference.results import ImageResult

MODULE: Final = "YOLO Lineage"
CORNERS: Final = ("x_min", "y_min", "x_max", "y_max")
GPUS: Final = ("cuda", "tensorrt")


def describe_image(
    image: ImageResult, class_names: Sequence[str], command: str, device: str, seconds: float
) -> dict[str, Any]:
    """Return the answer to a detection: members of both servers, best object first. `seconds` are those of it all."""
    found = predictions(image, class_names)
    return {
        "success": True,
        "message": f"{plural(len(found), 'object')} found",
        "predictions": found,
        "count": len(found),
        "inferenceMs": round(1000 * image.infer_seconds),
        "processMs": round(1000 * (image.decode_seconds + image.infer_seconds)),
        "analysisRoundTripMs": round(1000 * seconds),
        "duration": round(seconds, 3),
        "moduleId": MODULE,
        "command": command,
        "executionProvider": device.upper(),
        "canUseGPU": device in GPUS,
    }


def predictions(image: ImageResult, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the objects in an image. Corners are whole pixels inside it: clients in C# read integers."""
    found = image.detections
    rows = zip(np.rint(found.boxes).astype(int).tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
    return [
        {"label": class_names[class_id], "confidence": round(score, SCORE_DECIMALS)}
        | dict(zip(CORNERS, corners, strict=True))
        for corners, score, class_id in rows
    ]


def describe_version(text: str) -> dict[str, Any]:
    """Return the answer to a search for updates, from a version such as 0.1.0. There never is one."""
    major, minor, patch = [*map(int, re.findall(r"\d+", text)), 0, 0, 0][:3]
    version = {
        "major": major,
        "minor": minor,
        "patch": patch,
        "preRelease": "",
        "securityUpdate": False,
        "build": 0,
        "file": "",
        "releaseNotes": "",
    }
    return {
        "success": True,
        "message": "",
        "version": None,
        "current": version,
        "latest": version,
        "updateAvailable": False,
    }
