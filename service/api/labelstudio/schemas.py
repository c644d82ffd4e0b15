"""Requests and answers of a machine learning backend for Label Studio."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field


class SetupRequest(BaseModel):
    """A project that connects. Other members are ignored."""

    schema_: Annotated[str | None, Field(alias="schema", description="Labeling configuration (XML).")] = None


class SetupAnswer(BaseModel):
    """The model that answers."""

    model_version: str


class PredictRequest(BaseModel):
    """Tasks to detect objects in. Other members are ignored."""

    tasks: Annotated[list[dict[str, Any]], Field(description="Tasks, with their data.")] = []
    label_config: Annotated[str | None, Field(description="Labeling configuration (XML).")] = None


class RegionValue(BaseModel):
    """A box in per cent of the image, and its label."""

    x: float
    y: float
    width: float
    height: float
    rotation: int
    rectanglelabels: list[str]


class Region(BaseModel):
    """One object."""

    id: str
    type: str
    from_name: str
    to_name: str
    original_width: int
    original_height: int
    image_rotation: int
    score: float
    value: RegionValue


class Prediction(BaseModel):
    """The objects in the image of one task. `score` is the mean of theirs."""

    model_version: str
    score: float
    result: list[Region]


class PredictAnswer(BaseModel):
    """A prediction for each task, in their order."""

    results: list[Prediction]


class Versions(BaseModel):
    """Versions of the models."""

    versions: list[str]


class Status(BaseModel):
    """A sign of life."""

    status: str
