"""Answers of DeepStack and CodeProject.AI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel

from model_zoo.contract.detections import SCORE_DECIMALS
from service.inference.service import ImageResult


class Prediction(BaseModel):
    """One object. Corners are whole pixels of the image: clients in C# read integers."""

    label: str
    confidence: float
    x_min: int
    y_min: int
    x_max: int
    y_max: int


class DetectAnswer(BaseModel):
    """Objects in an image, best first. Times are milliseconds, `duration` is seconds."""

    success: Literal[True] = True
    message: str
    predictions: list[Prediction]
    count: int
    inferenceMs: int  # noqa: N815
    processMs: int  # noqa: N815
    analysisRoundTripMs: int  # noqa: N815
    duration: float
    moduleId: str  # noqa: N815
    command: str
    executionProvider: str  # noqa: N815
    canUseGPU: bool  # noqa: N815


class CustomModels(BaseModel):
    """Names of the models."""

    success: Literal[True] = True
    models: list[str]


class Ping(BaseModel):
    """A sign of life."""

    success: Literal[True] = True


class Version(BaseModel):
    """A version of the server."""

    major: int
    minor: int
    patch: int
    preRelease: str = ""  # noqa: N815
    securityUpdate: bool = False  # noqa: N815
    build: int = 0
    file: str = ""
    releaseNotes: str = ""  # noqa: N815

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version in a text such as 0.1.0."""
        major, minor, patch = [*map(int, re.findall(r"\d+", text)), 0, 0, 0][:3]
        return cls(major=major, minor=minor, patch=patch)


class UpdateAvailable(BaseModel):
    """The version of the server. It never announces another one."""

    success: Literal[True] = True
    message: str = ""
    version: Version | None = None
    current: Version
    latest: Version
    updateAvailable: Literal[False] = False  # noqa: N815


def make_predictions(image: ImageResult, class_names: Sequence[str]) -> list[Prediction]:
    """Return the detections of an image. Their boxes are inside it, so rounded corners are, too."""
    found = image.detections
    corners = np.rint(found.boxes).astype(int).tolist()
    return [
        Prediction(
            label=class_names[class_id],
            confidence=round(score, SCORE_DECIMALS),
            x_min=x_min,
            y_min=y_min,
            x_max=x_max,
            y_max=y_max,
        )
        for (x_min, y_min, x_max, y_max), score, class_id in zip(
            corners, found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    ]
