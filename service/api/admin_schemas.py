"""Bodies, queries and answers of /admin, with the JSON schemas for its documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from service.api.native.schemas import Model, Models

ALIAS_SCHEMA: Final = {
    "type": "object",
    "required": ["version"],
    "additionalProperties": False,
    "properties": {"version": {"type": "integer", "minimum": 1}},
}
_VERSION_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": "^([1-9][0-9]{0,8}|[A-Za-z][A-Za-z0-9._-]{0,99})$"},
    ]
}
_HEADER_SCHEMA: Final = {"type": "string", "pattern": "^[A-Za-z0-9_!#$%&'*+.^`|~-]{1,100}$"}
_VALUE_SCHEMA: Final = {"type": "string", "pattern": "^[!-~]([ -~]{0,998}[!-~])?$"}
_PERCENT_SCHEMA: Final = {"type": "number", "minimum": 0, "maximum": 100}
ROLLOUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "schema_version": {"type": "integer", "const": 1},
        "stable": _VERSION_SCHEMA,
        "canary": {
            "type": "object",
            "required": ["version"],
            "additionalProperties": False,
            "properties": {
                "version": _VERSION_SCHEMA,
                "percent": _PERCENT_SCHEMA,
                "header": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {"name": _HEADER_SCHEMA, "value": _VALUE_SCHEMA},
                },
                "sticky": _HEADER_SCHEMA,
            },
        },
        "shadow": {
            "type": "object",
            "required": ["version"],
            "additionalProperties": False,
            "properties": {"version": _VERSION_SCHEMA, "percent": _PERCENT_SCHEMA},
        },
    },
}
_FORCE: Final = "Also remove the aliases that point to the version, and the model with its last version."


@dataclass(frozen=True)
class AliasTarget:
    """Body of a change of an alias."""

    version: int
    """Version that the alias will mean."""


class RemoveQuery(BaseModel):
    """Query of a removal."""

    model_config = ConfigDict(extra="forbid")

    force: Annotated[bool, Field(description=_FORCE)] = False


class Status(Models):
    """The models, their repository, what is degraded, and the settings of the server and of versions with their own."""

    repository: str
    degraded: list[str]
    settings: dict[str, Any]
    model_settings: dict[str, dict[str, Any]]


class Change(BaseModel):
    """A change, and the model after it. `model` is null if the model was removed."""

    change: str
    before: Any
    after: Any
    model: Model | None
