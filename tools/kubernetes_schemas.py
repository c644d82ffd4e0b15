"""Write tests/service/deploy/kubernetes/schemas.json, which tests check the Kubernetes manifests with.

The schemas come from packages of the index that publish them as data or typed models, all under Apache-2.0:

    pip install --target build/schemas --no-deps \
        kubernetes-validate==1.37.0 kserve==0.21.0 kubeflow-training==1.9.4
    python3 -m venv build/cloudcoil
    build/cloudcoil/bin/pip install cloudcoil-models-prometheus-operator==0.80.1.0
    build/cloudcoil/bin/python -m tools.kubernetes_schemas build/schemas

Descriptions and `status` are left out. Unknown properties are errors, as in the strict mode of Kubernetes.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

OUTPUT: Final = Path(__file__).resolve().parents[1] / "tests/service/deploy/kubernetes/schemas.json"
DEFINITIONS: Final = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/_definitions.json"
MODELS: Final = ("kserve/models", "kubeflow/training/models")
KINDS: Final = {
    "apps/v1 Deployment": "io.k8s.api.apps.v1.Deployment",
    "autoscaling/v2 HorizontalPodAutoscaler": "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "networking.k8s.io/v1 NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "policy/v1 PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "v1 PersistentVolumeClaim": "io.k8s.api.core.v1.PersistentVolumeClaim",
    "v1 Service": "io.k8s.api.core.v1.Service",
    "serving.kserve.io/v1alpha1 ServingRuntime": "V1alpha1ServingRuntime",
    "serving.kserve.io/v1beta1 InferenceService": "V1beta1InferenceService",
    "kubeflow.org/v1 PyTorchJob": "KubeflowOrgV1PyTorchJob",
    "monitoring.coreos.com/v1 ServiceMonitor": "monitoring.ServiceMonitor",
}
PRIMITIVES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "object"}
_REQUIRED: Final = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
Schema = dict[str, Any]


def main(packages: Path) -> None:
    """Write the definitions that the kinds need."""
    known = json.loads((packages / DEFINITIONS).read_text(encoding="utf-8"))["$defs"]
    known |= service_monitor()
    classes = {name: body for folder in MODELS for name, body in read_models(packages / folder)}
    known |= {name: to_schema(body, classes, known) for name, body in classes.items()}
    needed = reachable(known, list(KINDS.values()))
    kinds = {kind: {"$ref": f"#/$defs/{name}"} for kind, name in KINDS.items()}
    OUTPUT.write_text(f'{{"kinds": {json.dumps(kinds)},\n"$defs": {one_per_line(needed)}}}\n', encoding="utf-8")


def one_per_line(definitions: dict[str, Schema]) -> str:
    """Return JSON with one definition per line."""
    lines = (f"{json.dumps(name)}: {json.dumps(body, sort_keys=True)}" for name, body in sorted(definitions.items()))
    return "{" + ",\n".join(lines) + "}"


def service_monitor() -> dict[str, Schema]:
    """Return the definitions of the Prometheus operator's ServiceMonitor."""
    from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

    schema = ServiceMonitor.model_json_schema()
    definitions = {**schema.pop("$defs"), "ServiceMonitor": schema}
    text = json.dumps(definitions).replace("#/$defs/", "#/$defs/monitoring.")
    return {f"monitoring.{name}": body for name, body in json.loads(text).items()}


def read_models(folder: Path) -> Iterator[tuple[str, tuple[dict[str, str], dict[str, str], list[str]]]]:
    """Yield the classes of generated models: name, types, JSON names and required attributes."""
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)):
            tables = {
                statement.targets[0].id: ast.literal_eval(statement.value)
                for statement in node.body
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
                if statement.targets[0].id in ("openapi_types", "attribute_map")
            }
            yield node.name, (tables["openapi_types"], tables["attribute_map"], _REQUIRED.findall(text))


def to_schema(body: tuple[dict[str, str], dict[str, str], list[str]], classes: Any, known: Any) -> Schema:
    """Return the JSON schema of a generated model."""
    types, names, required = body
    properties = {names[field]: to_type(text, classes, known) for field, text in types.items()}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": [names[field] for field in required]} if required else schema


def to_type(text: str, classes: Any, known: Any) -> Schema:
    """Return the schema of a type such as `list[V1Container]`, `dict(str, str)` or `bool`."""
    if inner := re.fullmatch(r"list\[(.+)\]", text):
        return {"type": "array", "items": to_type(inner[1], classes, known)}
    if inner := re.fullmatch(r"dict\(str, (.+)\)", text):
        return {"type": "object", "additionalProperties": to_type(inner[1], classes, known)}
    if text in PRIMITIVES:
        return {"type": PRIMITIVES[text]}
    return {"$ref": f"#/$defs/{text if text in classes else kubernetes_name(text, known)}"}


def kubernetes_name(text: str, known: Any) -> str:
    """Return the definition that a model such as `V1Container` or `K8sIoApiAppsV1DeploymentStrategy` refers to."""
    ending = re.sub(r"^K8sIo", "", text).lower()
    return next((name for name in known if name.replace(".", "").lower().endswith(ending)), text)


def reachable(known: dict[str, Schema], names: list[str]) -> dict[str, Schema]:
    """Return the trimmed definitions of `names`, and of all that they refer to."""
    needed: dict[str, Schema] = {}
    while names:
        if (name := names.pop()) not in needed:
            needed[name] = trim(known.get(name, {}))  # two types of KServe are not published
            names += re.findall(r'"(?:[^"#]*)#/\$defs/([^"]+)"', json.dumps(needed[name]))
    return needed


def trim(schema: Any) -> Any:
    """Return a schema without texts, extensions and status."""
    if isinstance(schema, list):
        return [trim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    texts = {key for key in ("description", "title") if isinstance(schema.get(key), str)}  # else it is a property
    kept = {key: trim(value) for key, value in schema.items() if key not in texts | {"$id", "$schema"}}
    kept = {key: value for key, value in kept.items() if not key.startswith("x-")}
    if isinstance(kept.get("properties"), dict) and "metadata" in kept["properties"]:
        kept["properties"].pop("status", None)
    if "$ref" in kept:
        kept["$ref"] = "#" + kept["$ref"].partition("#")[2]
    return kept


if __name__ == "__main__":
    main(Path(sys.argv[1]))
