"""`lineage batch`: options and output."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lineage.cli.main import main
from tests.lineage.cli.toy_files import save_image


def test_results_are_counted_and_options_reach_the_model(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_image(workspace / "in/a.png")
    (workspace / "in/b.png").write_text("text")
    assert (
        main(["batch", "in", "--output", "out", "--workers", "1", "--max-detections", "1", "--classes", "green"]) == 0
    )
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "out: 1 image, 1 detection, 1 fault in 1 part"
    assert out[1].startswith("worker 1: 2 images, ")
    [row] = pq.read_table("out/part-00000.parquet").to_pylist()
    assert [entry["label"] for entry in row["detections"]] == ["green"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--shard-size", "0"), "--shard-size: expected from 1 to 1,000,000; got 0"),
        (("--workers", "0"), "--workers: expected at least 1; got 0"),
        (("--limit", "-1"), "--limit: expected at least 1; got -1"),
        (("--score", "2"), "score: expected a number from"),
        (("--engine", "spark"), "--engine: expected one of local, ray; got 'spark'"),
    ],
)
def test_wrong_options_are_one_line(
    flags: tuple[str, ...], message: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(workspace / "in/a.png")
    assert main(["batch", "in", "--output", "out", *flags]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lineage: {message}")
