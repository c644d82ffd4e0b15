"""`lineage models --architectures`: what can be built, and what its authors published."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Final

import tyro

from lineage.cli.tables import format_table
from model_zoo.registry import family_of, variants
from model_zoo.releases import RELEASES, reported
from model_zoo.sizes import measures

HEADER: Final = ("variant", "family", "input", "params", "GFLOPs", "weights", "published")
RIGHT: Final = (2, 3, 4)  # input, params, GFLOPs


def architectures(*, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """List the networks that can be built, with the size of their deployed form and what their authors published.

    `weights` is the license of the official ones, which `lineage pull` takes in.

    Args:
        as_json: Print JSON instead of a table.
    """
    entries = [_entry(variant) for variant in variants() if not variant.endswith("-test")]
    if as_json:
        print(json.dumps({"architectures": entries}, indent=2))
    else:
        print(format_table([HEADER, *map(_row, entries)], right=RIGHT))


def _entry(variant: str) -> dict[str, Any]:
    figure, release = reported(variant), RELEASES.get(variant)
    return {
        "variant": variant,
        "family": family_of(variant),
        **asdict(measures(variant)),
        "published": figure and asdict(figure),
        "paper": release and release.paper,
        "weights": release and {"license": release.license, "url": release.url, "sha256": release.sha256},
    }


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    variant, weights = entry["variant"], entry["weights"]
    height, width = entry["input_size"]
    return (
        variant,
        entry["family"],
        f"{height} x {width}",
        f"{entry['params']:,}",
        f"{entry['gflops']:.2f}",
        weights["license"] if weights else "-",
        str(reported(variant) or "-"),
    )
