"""Requests of Label Studio."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field


class SetupRequest(BaseModel):
    """A project that connects. Other members are ignored."""

    schema_: Annotated[str | None, Field(alias="schema", description="Labeling configuration (XML).")] = None


class Task(BaseModel):
    """A task. Its annotations and predictions are ignored."""

    id: Any = None
    data: Any = None


class PredictRequest(BaseModel):
    """Tasks to detect objects in. Other members are ignored."""

    tasks: Annotated[list[Task], Field(max_length=10_000, description="Tasks, with their data.")] = []
    label_config: Annotated[str | None, Field(description="Labeling configuration (XML).")] = None
