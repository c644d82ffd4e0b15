"""`lineage models --architectures`: what can be built, and what its authors published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import tyro

from model_zoo.registry import family_of, variants
from model_zoo.releases import RELEASES, reported
from model_zoo.sizes import measures

HEADER: Final = ("variant", "family", "input", "params", "GFLOPs", "weights", "published")


def architectures(*, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """List the networks that can be built, with the size of their deployed form and what their authors published.

    `weights` is the licence of the official ones, which `lineage pull` takes in.

    Args:
        as_json: Print JSON instead of a table.
    """
    entries = [_entry(variant) for variant in variants() if not variant.endswith("-test")]
    if as_json:
        print(json.dumps({"architectures": entries}, indent=2))
    else:
        print(_table([HEADER, *map(_row, entries)]))


def _entry(variant: str) -> dict[str, Any]:
    figure, release = reported(variant), RELEASES.get(variant)
    return {
        "variant": variant,
        "family": family_of(variant),
        **asdict(measures(variant)),
        "published": figure and asdict(figure),
        "paper": release and release.paper,
        "weights": release and {"licence": release.licence, "url": release.url, "sha256": release.sha256},
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
        weights["licence"] if weights else "-",
        str(reported(variant) or "-"),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Align the cells, those of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [">" if name in ("input", "params", "GFLOPs") else "<" for name in HEADER]
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    return "\n".join(form.format(*row).rstrip() for row in rows)
