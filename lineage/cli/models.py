"""`lineage models`: list the models of a repository, or the architectures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

from lineage.cli.arguments import option
from lineage.cli.tables import format_table
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.image_size import format_size
from model_zoo.contract.licenses import joint_licenses
from model_zoo.contract.package import Package
from model_zoo.contract.plural import plural
from model_zoo.contract.repository import LATEST, Problem, Repository
from model_zoo.contract.rollout import Rollout, read_rollout
from model_zoo.contract.set_rollout import resolve_rollout
from model_zoo.contract.terms import binding_licenses
from service.inference.bundled import BUNDLED_REPOSITORY, DEFAULT_REPOSITORY, REPOSITORY_HELP, repository_of

SOME_UNUSABLE: Final = 1
HEADER: Final = ("model", "aliases", "family", "variant", "input", "precision", "params", "license", "metrics")
ARCHITECTURE_HEADER: Final = ("variant", "family", "input", "params", "GFLOPs", "weights", "published")
RIGHT_ALIGNED: Final = (2, 3, 4)  # input, params, GFLOPs


def models(
    *,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    architectures: bool = False,
    as_json: Annotated[bool, option(name="json")] = False,
) -> int:
    """List the models of a repository.

    A model that cannot be used is reported with the reason, and the exit code is 1. `lineage models alias`,
    `remove` and `rollout` change a repository.

    Args:
        repository: Folder of the repository.
        architectures: List all variants instead: size when deployed, license of the official weights, published AP.
        as_json: Print JSON instead of a table.
    """
    if not architectures:
        return _list_models(repository_of(repository), as_json)
    if repository:
        raise LineageError("--architectures: expected without --repository; it lists what can be built, not published")
    _list_architectures(as_json)
    return 0


def _list_models(repository: Repository, as_json: bool) -> int:
    packages, problems = repository.scan()
    entries = [_entry(package, _aliases(repository, package)) for package in packages]
    policies = _read_policies(repository, sorted({package.name for package in packages}), problems)
    if as_json:
        rollouts = {name: policy.to_document() for name, policy in policies.items()}
        listed = {"models": entries, "rollouts": rollouts, "problems": [asdict(p) for p in problems]}
        print(json.dumps(listed, indent=2))
    elif entries:
        print(format_table([HEADER, *(row for entry in entries for row in _rows(entry))]))
        for name, policy in policies.items():
            print(*(f"{name}: {line}" for line in policy.describe()), sep="\n")
    else:
        print(_nothing_listed(repository, len(problems)))
    if repository is BUNDLED_REPOSITORY:
        print(f"lineage: {DEFAULT_REPOSITORY.root} has no models; showing the bundled model", file=sys.stderr)
    for line in [*_license_warnings(packages), *(problem.reason for problem in problems)]:
        print(f"lineage: {line}", file=sys.stderr)
    return SOME_UNUSABLE if problems else 0


def _read_policies(repository: Repository, names: Sequence[str], problems: list[Problem]) -> dict[str, Rollout]:
    """Return the rollout policies by model, and add those that cannot be followed to the problems."""
    policies: dict[str, Rollout] = {}
    for name in names:
        try:
            if policy := read_rollout(repository.root / name):
                policies[name] = policy
                resolve_rollout(repository, name, policy)
        except LineageError as error:
            problems.append(Problem(name, None, str(error)))
    return policies


def _nothing_listed(repository: Repository, problems: int) -> str:
    if problems:
        return f"No usable model in {repository.root}: {plural(problems, 'problem')}."
    foreign = repository.foreign()
    skipped = f" Skipped folders without a package: {', '.join(foreign)}." if foreign else ""
    reason = repository.empty_message()
    return f"No models: {reason}" if reason.endswith("?") else f"No models: {reason}.{skipped}"


def _license_warnings(packages: Sequence[Package]) -> list[str]:
    """Return a line for each license that binds, with the models it binds and the weights it comes from."""
    bound: dict[tuple[str, str], list[str]] = {}
    for package in packages:
        weights = package.card.weights
        for license, terms in binding_licenses(weights).items():
            parents = [parent.name for parent in weights.parents or () if license in joint_licenses(parent.license)]
            origin = f" (trained from {', '.join(parents)})" if parents else ""
            bound.setdefault((license, terms), []).append(f"{package.reference}{origin}")
    return [f"warning: license {license} of {', '.join(names)}: {terms}" for (license, terms), names in bound.items()]


def _aliases(repository: Repository, package: Package) -> list[str]:
    """Return the aliases of a version, `latest` included. The scan reports damaged alias files."""
    try:
        aliases = repository.aliases(package.name)
    except PackageError:
        aliases = {}
    implied = {LATEST: repository.versions(package.name)[-1]}
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
        "weights": asdict(card.weights),
        "metrics": [asdict(metric) for metric in card.metrics],
    }


def _rows(entry: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each dataset the model was evaluated on, or one row if there is none."""
    columns = (
        f"{entry['name']}@{entry['version']}",
        ", ".join(entry["aliases"]),
        entry["family"],
        entry["variant"],
        format_size(entry["input_size"]),
        entry["precision"],
        f"{entry['params']:,}",
        entry["weights"]["license"],
    )
    by_dataset: dict[str, list[str]] = {}
    for metric in entry["metrics"]:
        by_dataset.setdefault(metric["dataset"], []).append(f"{metric['name']} {metric['value']:.4g}")
    metrics = [f"{dataset}: {', '.join(values)}" for dataset, values in by_dataset.items()] or ["-"]
    yield (*columns, metrics[0])
    yield from (("",) * len(columns) + (more,) for more in metrics[1:])


def _list_architectures(as_json: bool) -> None:
    from model_zoo.registry import variants

    entries = [_architecture(variant) for variant in variants() if not variant.endswith("-test")]
    if as_json:
        print(json.dumps({"architectures": entries}, indent=2))
    else:
        print(format_table([ARCHITECTURE_HEADER, *map(_architecture_row, entries)], right=RIGHT_ALIGNED))


def _architecture(variant: str) -> dict[str, Any]:
    from model_zoo.registry import family_of
    from model_zoo.releases import RELEASES, published_result
    from model_zoo.sizes import model_size

    result, release = published_result(variant), RELEASES.get(variant)
    return {
        "variant": variant,
        "family": family_of(variant),
        **asdict(model_size(variant)),
        "published": result and asdict(result),
        "paper": release and release.paper,
        "weights": release and {"license": release.license, "url": release.url, "sha256": release.sha256},
    }


def _architecture_row(entry: dict[str, Any]) -> tuple[str, ...]:
    from model_zoo.releases import published_result

    weights = entry["weights"]
    return (
        entry["variant"],
        entry["family"],
        format_size(entry["input_size"]),
        f"{entry['params']:,}",
        f"{entry['gflops']:.2f}",
        weights["license"] if weights else "-",
        str(published_result(entry["variant"]) or "-"),
    )
