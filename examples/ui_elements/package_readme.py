"""Add measured accuracy to a package: metrics in its card, and a README with its origin and results per class."""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from model_zoo.contract.card import Metric, ModelCard
from model_zoo.contract.image_size import format_size
from model_zoo.contract.manifest import MODEL
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.export.onnx import write_onnx
from model_zoo.golden import write_golden

NAME = "ui-elements"
DATA_CARD = Path(__file__).with_name("DATA_CARD.md")
SETS = {"val": "staged/ui-elements/1", "test": "evaluation/pages", "never-seen": "evaluation/never-seen"}


def publish(folder: Path, training: str, models: Repository) -> Package:
    """Publish the staged model of a `make` folder with metrics and README. The network is unchanged."""
    staged = Repository(folder / "staged").resolve(NAME)
    measured = {name: _metrics(folder / place / "evaluation.json") for name, place in SETS.items()}
    day = datetime.date.today().isoformat()
    card = replace(staged.card, metrics=_card_metrics(measured, day))
    with tempfile.TemporaryDirectory() as scratch:
        readme, evaluation, model = (Path(scratch) / name for name in ("README.md", "evaluation.json", MODEL))
        readme.write_text(render_readme(card, measured, _provenance(folder, training), day), encoding="utf-8")
        evaluation.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        _write_with_card(staged.model_path, card, model)
        texts = {"evaluation.json": evaluation, "README.md": readme, "DATA_CARD.md": DATA_CARD}
        return models.publish(card, {MODEL: model, **texts, **write_golden(model, card, Path(scratch))})


def render_readme(card: ModelCard, measured: dict[str, Any], provenance: dict[str, str], day: str) -> str:
    """Return the README of a package: its origin, and COCO metrics of every set and class."""
    origin = "\n".join(f"| {key} | {value} |" for key, value in provenance.items())
    totals = "\n".join(
        f"| {name} | {sum(entry['objects'] for entry in m['classes'])} | {_numbers(m, ('ap', 'ap50', 'ap75'))} |"
        for name, m in measured.items()
    )
    test, unseen = ({entry["label"]: entry for entry in measured[name]["classes"]} for name in ("test", "never-seen"))
    classes = "\n".join(
        f"| {label} | {test[label]['objects']} | {_numbers(test[label], ('ap', 'ap50'))} "
        f"| {unseen[label]['objects']} | {_numbers(unseen[label], ('ap', 'ap50'))} |"
        for label in card.class_names
    )
    size = format_size(card.input_size)
    return f"""# {card.name}

Finds {len(card.class_names)} classes of interface elements in screenshots. {card.variant}, {card.params:,} parameters,
{card.precision}, {size}. YOLO Lineage trained it on rendered pages only ([data card](DATA_CARD.md)).
License: {card.weights.license}.

| origin | |
| --- | --- |
{origin}
| measured on | {day} |

`val`, `test` and `never-seen` share no design system and no page type with the training pages. The pages of
`never-seen` come from npm packages and were not generated. Metrics are COCO's, of this file, with IoU-NMS at 0.6.

| set | elements | AP | AP50 | AP75 |
| --- | --- | --- | --- | --- |
{totals}

| class | test: elements | AP | AP50 | never-seen: elements | AP | AP50 |
| --- | --- | --- | --- | --- | --- | --- |
{classes}
"""


def _provenance(folder: Path, training: str) -> dict[str, str]:
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in plan.items() if value != ""]
    return {
        "command": f"`python -m examples.ui_elements.make {shlex.join(flags)} --output DIR`",
        "training": f"`{training}`",
        "seed": str(plan["seed"]),
        "sha256 of the manifest of `pages`": _sha256(folder / "pages" / "manifest.json"),
        "sha256 of the manifest of `never-seen`": _sha256(folder / "never-seen" / "manifest.json"),
    }


def _metrics(path: Path) -> dict[str, Any]:
    """Read the metrics of an evaluation, written by `lineage evaluate` or in a package."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return dict(document.get("metrics", document))


def _card_metrics(measured: dict[str, Any], day: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(title, round(metrics[name], 4), f"{NAME} {split}", day)
        for split, metrics in measured.items()
        for name, title in (("ap", "AP"), ("ap50", "AP50"))
    )


def _numbers(metrics: dict[str, Any], names: tuple[str, ...]) -> str:
    return " | ".join(f"{metrics[name]:.3f}" if metrics[name] >= 0 else "-" for name in names)


def _write_with_card(source: Path, card: ModelCard, target: Path) -> None:
    """Copy a model file with another card inside."""
    model = onnx.load(source)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, kept | card.to_metadata())
    write_onnx(model, target)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
