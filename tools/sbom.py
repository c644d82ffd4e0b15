"""Write software bills of materials in CycloneDX JSON, and lists of licenses: for the wheel and for each image.

    python -m tools.sbom --output build/sbom

pip resolves the dependencies under the locks, as the Dockerfile does, and downloads and installs nothing. The result
holds for the Python version and platform that run this, and licenses need pip 25 or newer. Debian packages of the base
image are not listed: only the built image has them, and a scanner of images reads them there.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tyro
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_zoo.contract.card import ModelCard
from model_zoo.contract.files import file_sha256

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK, GPU_LOCK = "requirements/lock.txt", "requirements/gpu.txt"
# What pip resolves for each target. The wheel alone has no engine. TensorRT's packages are stubs that ask NVIDIA's
# index when they are resolved, so the pins of the GPU image are added as they are.
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "wheel": (".",),
    "cpu": (".[cpu]",),
    "gpu": (".", "onnxruntime-gpu"),
    "training": (".[training]",),
}
SCHEMA: Final = SchemaVersion.V1_6
_MAX_LICENSE: Final = 60  # longer ones are the text of a license, not its name
Report = Mapping[str, Any]


def main(*, output: Path = Path("build/sbom"), targets: tuple[str, ...] = tuple(TARGETS)) -> None:
    """Write `<target>.cdx.json` and `<target>.licenses.csv` for each target: wheel, cpu, gpu, training."""
    output.mkdir(parents=True, exist_ok=True)
    for target in targets:
        report = resolve(TARGETS[target])
        if target == "gpu":
            add_pins(report, (ROOT / GPU_LOCK).read_text(encoding="utf-8"))
        bom = build_bom(report, "" if target == "wheel" else target)
        path = output / f"{target}.cdx.json"
        path.write_text(render(bom), encoding="utf-8")
        (output / f"{target}.licenses.csv").write_text(render_licenses(bom), encoding="utf-8")
        print(f"{path}: {len(bom.components)} components")


def resolve(requirements: Sequence[str]) -> Report:
    """Return the report of pip on what it would install."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    options = ["--ignore-installed", "--report=-", f"--constraint={LOCK}", f"--constraint={GPU_LOCK}"]
    done = subprocess.run([*command, *options, *requirements], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    report: Report = json.loads(done.stdout)
    return report


def add_pins(report: Report, lock: str) -> None:
    """Add the packages of a lock that a report lacks."""
    known = {canonicalize_name(item["metadata"]["name"]) for item in report["install"]}
    pins = [line.split("==") for line in lock.splitlines() if "==" in line and not line.startswith("#")]
    report["install"].extend(
        {"metadata": {"name": name, "version": version}}
        for name, version in pins
        if canonicalize_name(name) not in known
    )


def build_bom(report: Report, image: str) -> Bom:
    """Build the bill of materials of a report, with the bundled model. An image also has its base."""
    packages: dict[str, Report] = {canonicalize_name(item["metadata"]["name"]): item for item in report["install"]}
    components: dict[str, Component] = {name: _component(name, item) for name, item in packages.items()}
    root = components.pop(canonicalize_name("yolo-lineage"))
    root.type = ComponentType.APPLICATION
    bom = Bom(components=[*components.values(), bundled_model(), *([base_image()] if image else [])])
    bom.metadata.component = root
    graph = dependencies({name: item["metadata"] for name, item in packages.items()}, image)
    for name, targets in graph.items():
        bom.register_dependency(components.get(name, root), [components[target] for target in sorted(targets)])
    return bom


def dependencies(packages: Mapping[str, Report], extra: str) -> dict[str, set[str]]:
    """Return the packages that each package requires, with the extras that others ask of it."""
    extras: dict[str, set[str]] = {name: {""} for name in packages} | {"yolo-lineage": {"", extra}}
    graph: dict[str, set[str]] = {name: set() for name in packages}
    size = -1
    while size != (size := sum(map(len, [*extras.values(), *graph.values()]))):
        for name, metadata in packages.items():
            for requirement in _required(metadata, extras[name]):
                target = canonicalize_name(requirement.name)
                if target in packages:
                    extras[target] |= requirement.extras
                    graph[name] |= {target} - {name}
    return graph


def _required(metadata: Report, extras: set[str]) -> Iterator[Requirement]:
    for text in metadata.get("requires_dist", []):
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _component(name: str, item: Report) -> Component:
    metadata = item["metadata"]
    sha256 = item.get("download_info", {}).get("archive_info", {}).get("hashes", {}).get("sha256")
    return Component(
        name=name,
        version=metadata["version"],
        bom_ref=f"{name}@{metadata['version']}",
        purl=PackageURL("pypi", name=name, version=metadata["version"]),
        licenses=_licenses(metadata),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
    )


def _licenses(metadata: Report) -> list[License]:
    """Return the license of a package: its expression, a short text, or its classifiers."""
    make = LicenseFactory()
    stated = metadata.get("license_expression") or metadata.get("license", "")
    if stated and len(stated) <= _MAX_LICENSE and "\n" not in stated:
        return [make.make_from_string(stated)]
    classified = [
        text.rpartition(" :: ")[2] for text in metadata.get("classifier", []) if text.startswith("License ::")
    ]
    return [make.make_with_name(name) for name in classified]


def bundled_model() -> Component:
    """Describe the model inside the wheel."""
    [folder] = (ROOT / "service/default").glob("*/*")
    card = ModelCard.read(folder / "card.json")
    return Component(
        name=card.name,
        version=folder.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        licenses=[LicenseFactory().make_from_string(card.weights.license or "NOASSERTION")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file_sha256(folder / "model.onnx"))],
    )


def base_image() -> Component:
    """Describe the image that the Dockerfile begins with."""
    found = re.search(r"^FROM (\S+):(\S+) AS base$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError("Dockerfile: expected a line `FROM image:tag AS base`")
    return Component(name=found[1], version=found[2], type=ComponentType.CONTAINER)


def render_licenses(bom: Bom) -> str:
    """Return a table of all components with version and license, as CSV. A license that is not stated is `unknown`."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["component", "version", "license"])
    for component in sorted(filter(None, [bom.metadata.component, *bom.components]), key=lambda c: c.name.lower()):
        names = {str(getattr(found, "value", None) or found.id or found.name) for found in component.licenses}
        writer.writerow([component.name, component.version, " AND ".join(sorted(names)) or "unknown"])
    return rows.getvalue()


def render(bom: Bom) -> str:
    """Return the document, after a check against the schema of CycloneDX."""
    from cyclonedx.validation.json import JsonStrictValidator  # here: importing its grammars is slow

    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if error := JsonStrictValidator(SCHEMA).validate_str(text):
        raise ValueError(f"the bill of materials does not fit the schema: {error}")
    return text + "\n"


if __name__ == "__main__":
    tyro.cli(main)
