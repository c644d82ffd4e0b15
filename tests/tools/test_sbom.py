"""Software bills of materials."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from cyclonedx.model.bom import Bom

from service.inference.bundled import BUNDLED_REPOSITORY
from tools import sbom


def item(name: str, version: str, sha256: str | None = None, **metadata: Any) -> dict[str, Any]:
    found = {"archive_info": {"hashes": {"sha256": sha256}}} if sha256 else {"dir_info": {}}
    return {"metadata": {"name": name, "version": version, **metadata}, "download_info": found}


REPORT = {
    "install": [
        item("yolo-lineage", "0.1", requires_dist=["A_b[fast]", "runtime; extra == 'cpu'", "torch; extra == 'zoo'"]),
        item("a.b", "1.0", "0" * 64, license_expression="MIT", requires_dist=["c; extra == 'fast'", "d; extra == 'x'"]),
        item("c", "2.0", "1" * 64, license="long\ntext", classifier=["License :: OSI Approved :: BSD License"]),
        item("runtime", "3.0", "2" * 64, requires_dist=["c ; python_version < '3'"]),
    ]
}  # fmt: skip


def document(bom: Bom) -> dict[str, Any]:
    return dict(json.loads(sbom.render(bom)))


def test_components_have_purl_hash_and_license() -> None:
    components = {c["name"]: c for c in document(sbom.build_bom(REPORT, "cpu"))["components"]}
    assert components.keys() == {"a-b", "c", "runtime", "ui-elements", "python"}
    assert components["a-b"]["purl"] == "pkg:pypi/a-b@1.0"
    assert components["a-b"]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    assert [components[name].get("licenses") for name in ("a-b", "c", "runtime")] == [
        [{"license": {"id": "MIT"}}],
        [{"license": {"name": "BSD License"}}],
        None,
    ]


def test_list_of_licenses_has_every_component() -> None:
    rows = list(csv.reader(io.StringIO(sbom.render_licenses(sbom.build_bom(REPORT, "cpu")))))
    base, model = sbom.base_image(), sbom.bundled_model()
    assert rows == [
        ["component", "version", "license"],
        ["a-b", "1.0", "MIT"],
        ["c", "2.0", "BSD License"],
        ["python", str(base.version), "unknown"],
        ["runtime", "3.0", "unknown"],
        ["ui-elements", str(model.version), "Apache-2.0"],
        ["yolo-lineage", "0.1", "unknown"],
    ]


def test_dependencies_follow_markers_and_extras() -> None:
    graph = {d["ref"]: d.get("dependsOn", []) for d in document(sbom.build_bom(REPORT, "cpu"))["dependencies"]}
    packages = {ref: found for ref, found in graph.items() if "@" in ref}
    assert packages == {
        "yolo-lineage@0.1": ["a-b@1.0", "runtime@3.0"],
        "a-b@1.0": ["c@2.0"],
        "c@2.0": [],
        "runtime@3.0": [],
    }


def test_bundled_model_and_base_image_are_listed() -> None:
    model, base = sbom.bundled_model(), sbom.base_image()
    assert (model.name, model.version) == ("ui-elements", "1")
    manifest = json.loads((BUNDLED_REPOSITORY.root / "ui-elements/1/manifest.json").read_text())
    [sha256] = [hashed.content for hashed in model.hashes]
    assert sha256 in json.dumps(manifest)
    assert (base.name, str(base.version).split(".")[0]) == ("python", "3")
    assert "python" not in [c["name"] for c in document(sbom.build_bom(REPORT, ""))["components"]]


def test_pins_of_a_lock_are_added_once() -> None:
    report = {"install": [item("A_b", "1.0")]}
    sbom.add_pins(report, "# a comment with ==\na-b==1.0\nlibs==10.16\n")
    assert [i["metadata"]["name"] for i in report["install"]] == ["A_b", "libs"]


def test_document_outside_the_schema_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "make_outputter", lambda *_: Broken())
    with pytest.raises(ValueError, match="does not fit the schema"):
        sbom.render(Bom())


class Broken:
    def output_as_string(self, indent: int) -> str:
        return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": 3})
