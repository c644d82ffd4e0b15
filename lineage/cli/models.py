"""`lineage models`: what is in a repository, and what in it cannot be used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from lineage.cli.tables import format_table
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import LATEST, Package, Repository
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY, REPOSITORY_HELP, repository_of

SOME_UNUSABLE: Final = 1
HEADER: Final = ("model", "aliases", "family", "variant", "input", "precision", "params", "metrics")


def models(
    *,
    repository: Annotated[Path | None, tyro.conf.arg(help_behavior_hint=REPOSITORY_HELP)] = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """List the models of a repository.

    What cannot be used is reported with the reason, and the exit code is 1. What can be built is another list:
    `lineage models --architectures`.

    Args:
        repository: Folder of the models.
        as_json: Print JSON instead of a table.
    """
    source = repository_of(repository)
    packages, problems = source.scan()
    entries = [_entry(package, _aliases(source, package)) for package in packages]
    if as_json:
        print(json.dumps({"models": entries, "problems": [asdict(p) for p in problems]}, indent=2))
    elif entries:
        print(format_table([HEADER, *(row for entry in entries for row in _rows(entry))]))
    else:
        print(f"No models in {source.root}; `lineage import` takes one in.")
    if source is BUNDLED_REPOSITORY:
        print(f"lineage: no model in {DEFAULT_REPOSITORY.root} yet; this one comes with the service", file=sys.stderr)
    for problem in problems:
        print(f"lineage: {problem.reason}", file=sys.stderr)
    return SOME_UNUSABLE if problems else 0


def _aliases(source: Repository, package: Package) -> list[str]:
    """Names that mean this version; damaged aliases are among the problems of the scan already."""
    try:
        aliases = source.aliases(package.name)
    except PackageError:
        aliases = {}
    implied = {LATEST: source.versions(package.name)[-1]}
    return [alias for alias, version in (aliases | implied).items() if version == package.version]


def _entry(package: Package, aliases: list[str]) -> dict[str, Any]:
    card = package.card
    return {
        "name": package.name,
        "version": package.version,
        "aliases": aliases,
        "family": card.family,
        "variant": card.variant,
        "input_size": list(card.input_size),
        "precision": card.precision,
        "params": card.params,
        "metrics": [asdict(metric) for metric in card.metrics],
    }


def _rows(entry: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Give one line for each dataset that the model was measured on, and one where it was not."""
    height, width = entry["input_size"]
    first = (
        f"{entry['name']}@{entry['version']}",
        ", ".join(entry["aliases"]),
        entry["family"],
        entry["variant"],
        f"{height} x {width}",
        entry["precision"],
        f"{entry['params']:,}",
    )
    measured: dict[str, list[str]] = {}
    for metric in entry["metrics"]:
        measured.setdefault(metric["dataset"], []).append(f"{metric['name']} {metric['value']:.4g}")
    told = [f"{dataset}: {', '.join(values)}" for dataset, values in measured.items()] or ["-"]
    yield (*first, told[0])
    yield from (("",) * len(first) + (more,) for more in told[1:])
