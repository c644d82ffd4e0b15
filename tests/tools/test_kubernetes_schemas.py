"""tools/kubernetes_schemas.py: JSON schemas from generated models."""

from __future__ import annotations

from tools.kubernetes_schemas import reachable, to_schema, trim

KNOWN = {
    "io.k8s.api.core.v1.Probe": {"type": "object", "properties": {"port": {"$ref": "_definitions.json#/$defs/Port"}}},
    "Port": {"type": "integer", "description": "a number", "x-kubernetes-unions": []},
    "Unused": {},
}


def test_model_becomes_a_strict_schema() -> None:
    types = {"live_probe": "V1Probe", "names": "list[str]", "labels": "dict(str, int)"}
    body = (types, {"live_probe": "liveProbe", "names": "names", "labels": "labels"}, ["live_probe"])
    assert to_schema(body, {}, KNOWN) == {
        "type": "object",
        "properties": {
            "liveProbe": {"$ref": "#/$defs/io.k8s.api.core.v1.Probe"},
            "names": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "additionalProperties": False,
        "required": ["liveProbe"],
    }


def test_only_needed_definitions_are_kept() -> None:
    kept = reachable(KNOWN, ["io.k8s.api.core.v1.Probe"])
    assert kept["Port"] == {"type": "integer"}
    assert sorted(kept) == ["Port", "io.k8s.api.core.v1.Probe"]
    assert kept["io.k8s.api.core.v1.Probe"]["properties"] == {"port": {"$ref": "#/$defs/Port"}}


def test_properties_called_description_are_kept_and_status_is_not() -> None:
    properties = {"description": {"type": "string", "description": "a text"}, "status": {}, "metadata": {}}
    assert trim({"properties": properties}) == {"properties": {"description": {"type": "string"}, "metadata": {}}}
