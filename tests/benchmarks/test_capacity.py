"""Plans of capacity: arithmetic, table and verification."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.capacity import Costs, Options, Sample, main, plan, predict, table, write_verified
from tests.conftest import ROOT

COSTS = Costs("640x480", 3.0, 2.0, 35.0, request_bytes=125_000, answer_bytes=1_250, memory_mb=250)


def test_cores_follow_the_cpu_time_and_the_utilization() -> None:
    found = plan("load", 1000, COSTS, Options(cores=8, utilization=0.5))
    assert (found.cores, found.replicas, found.gpus) == (80, 10, 0)  # 40 ms of CPU, and half of each core
    assert (found.gbit_in, found.gbit_out, found.memory_gb) == (1.0, 0.01, 2.5)


def test_event_loop_bounds_a_replica_with_many_cores() -> None:
    found = plan("load", 1000, COSTS, Options(cores=64, utilization=1))
    assert (found.replicas, found.cores) == (2, 128)  # 40 cores would do, but 2 ms of one loop do not


def test_gpus_take_the_inference_from_the_cores() -> None:
    found = plan("load", 1000, COSTS, Options(utilization=1, gpu_images_per_second=400))
    assert (found.gpus, found.cores, found.replicas) == (3, 5, 3)


def test_price_counts_machines_and_answers() -> None:
    options = Options(cores=1, utilization=1, core_hour=0.9, gigabyte=0.8)
    cores, answers = 40 * 1000 / 3600 * 0.9, 1.25 * 0.8
    assert plan("load", 1000, COSTS, options).per_million == pytest.approx(cores + answers)
    without = Options(core_hour=0.9, gpu_images_per_second=400)
    assert plan("load", 1000, COSTS, without).per_million is None  # a price of GPUs is missing


def test_table_leaves_out_columns_without_values() -> None:
    head, _, row = table([plan("load", 1000, COSTS, Options(cores=8, utilization=0.5))])
    assert head == "| load | replicas | cores | memory, GB | in, Gbit/s | out, Gbit/s |"
    assert row == "| load | 10 | 80 | 2.5 | 1 | 0.01 |"


def test_bad_options_name_the_expected_ones(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("request\n640x480\n")
    with pytest.raises(SystemExit, match="expected a request of 640x480; got '8x8'"):
        main(request="8x8", costs=tmp_path / "costs.csv")
    with pytest.raises(SystemExit, match=r"--utilization: expected a number in \(0, 1\]; got 0"):
        main(Options(utilization=0))
    with pytest.raises(SystemExit, match="expected positive rates"):
        main(hours=0)


def test_generator_shares_the_cores_once_all_have_a_replica() -> None:
    assert predict(1, cpu_ms=40, generator_ms=10, cores=2) == 25
    assert predict(2, cpu_ms=40, generator_ms=10, cores=2) == 40


def test_verification_compares_within_each_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "RESULTS", tmp_path)
    idle = [Sample(20, cpu, 2, 0.0) for cpu in (40, 50, 100)]  # a machine that slows down
    loaded = {1: [Sample(rate, 0, 0, 0) for rate in (25, 20, 10)]}
    write_verified("640x480", idle, loaded, cores=2)
    write_verified("640x480", idle, loaded, cores=2)
    with (tmp_path / "capacity_verified.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["predicted_to_measured"], row["measured_per_second"]) == ("1.000", "20.0")


def test_document_has_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    lines = capsys.readouterr().out.splitlines()
    assert set(lines) <= set((ROOT / "docs/scaling.md").read_text().splitlines())


def test_recorded_predictions_are_within_15_percent() -> None:
    with (capacity.RESULTS / "capacity_verified.csv").open(newline="") as file:
        ratios = [float(row["predicted_to_measured"]) for row in csv.DictReader(file)]
    assert ratios
    assert all(0.85 <= ratio <= 1.15 for ratio in ratios)
