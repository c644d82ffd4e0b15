"""Versions are swapped under load without a failed request."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.swaps import Sample, judge, main
from model_zoo.contract.package import Package
from tests.service.app_client import png
from tests.service.conftest import flat, repository, toy

__all__ = ["repository", "toy"]


def test_twenty_swaps_fail_no_request(toy: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = tmp_path / "image.png", tmp_path / "swaps.csv"
    image.write_bytes(png(flat(9)))
    code = main(["--swaps=20", f"--package={toy.path}", f"--image={image}", f"--output={output}"])
    assert code == 0, capsys.readouterr().out
    header, *rows = output.read_text().splitlines()
    assert header == "swap,seconds,memory_mb,descriptors,threads,answered,failed"
    assert len(rows) == 20
    assert rows[-1].startswith("20,")
    assert rows[-1].endswith(",0")


def test_growth_is_a_fault() -> None:
    flat_samples = [Sample(i, 0.1, 200.0, 20, 10, i, 0) for i in range(100)]
    leaking = [Sample(i, 0.1, 200.0 + i, 20 + i // 5, 10, i, 0) for i in range(100)]
    assert judge(flat_samples) == []
    assert judge(leaking) == [
        "memory_mb has grown from 214.5 to 294.5",
        "descriptors has grown from 22.5 to 38.5",
    ]
