"""Kubernetes manifests, rendered by kubectl and checked with the schemas that Kubernetes, KServe and others publish."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ROOT

MANIFESTS: Final = ROOT / "service" / "deploy" / "kubernetes"
SCHEMAS: Final = Path(__file__).with_name("schemas.json")
Manifest = dict[str, Any]


@cache
def render(overlay: str) -> tuple[Manifest, ...]:
    """Return the manifests of an overlay, as `kubectl apply -k` sends them."""
    return render_folder(MANIFESTS / "overlays" / overlay)


def render_folder(folder: Path) -> tuple[Manifest, ...]:
    """Return the manifests of a folder with a kustomization.yaml."""
    yaml = pytest.importorskip("yaml", reason="reading manifests needs PyYAML")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def errors(manifest: Manifest) -> list[str]:
    """Return what the published schema of a manifest's kind refuses."""
    jsonschema = pytest.importorskip("jsonschema", reason="checking manifests needs jsonschema")
    schemas = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    kind = schemas["kinds"].get(f"{manifest['apiVersion']} {manifest['kind']}")
    assert kind, f"no schema of {manifest['apiVersion']} {manifest['kind']}: see tools/kubernetes_schemas.py"
    validator = jsonschema.Draft202012Validator({**kind, "$defs": schemas["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def one(overlay: str, kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = (manifest for manifest in render(overlay) if manifest["kind"] == kind)
    return found


def pods(overlay: str) -> Iterator[Manifest]:
    """Yield the pod specification of each manifest that starts containers."""
    for manifest in render(overlay):
        if manifest["kind"] == "Deployment":
            yield manifest["spec"]["template"]["spec"]
    if overlay == "kserve":
        yield one("kserve", "InferenceService")["spec"]["predictor"] | one("kserve", "ServingRuntime")["spec"]


def server(overlay: str) -> Manifest:
    """Return the container of the server."""
    (pod,) = pods(overlay)
    return pod["containers"][0]
