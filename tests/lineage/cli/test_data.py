"""`lineage data check` and `lineage data stats`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.cli.main import main
from tests.training.data.tiny_datasets import make_coco, make_yolo
from training.data.validation import plots


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))


class TestCheck:
    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        code = main(["data", "check", *arguments])
        return code, capsys.readouterr().out

    def test_valid_dataset_exits_with_0(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_coco(tmp_path / "set")
        assert self.run(capsys, str(root)) == (0, f"{root}: 0 errors, 0 warnings, 0 notes\n")

    def test_errors_are_listed_and_exit_with_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_yolo(tmp_path / "set")
        file = root / "labels/train/train_0.txt"
        file.write_text("9 0.5 0.5 0.1 0.1\n" * 7 + "0 1.0 0.5 0.5 0.5\n")
        code, out = self.run(capsys, str(root))
        lines = out.splitlines()
        assert code == 1
        assert lines[0].startswith(f"{file}:1: error: class: expected an integer from 0 to 1")
        assert "2 more" in lines[5]
        assert "[class-range]" in lines[5]
        assert lines[6].startswith(f"{file}:8: warning: ")
        assert lines[7] == f"{root}: 7 errors, 1 warning, 0 notes"

    def test_json_lists_all_findings(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_yolo(tmp_path / "set")
        (root / "labels/train/train_0.txt").write_text("9 0.5 0.5 0.1 0.1\n" * 7)
        code, out = self.run(capsys, str(root), "--json")
        document = json.loads(out)
        assert (code, document["error"], document["warning"]) == (1, 7, 0)
        assert document["findings"][6] == {
            "severity": "error",
            "kind": "class-range",
            "path": str(root / "labels/train/train_0.txt"),
            "line": 7,
            "text": document["findings"][0]["text"],
        }

    def test_missing_dataset_exits_with_2(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "check", str(tmp_path / "gone")]) == 2
        assert "no such dataset; expected a COCO" in capsys.readouterr().err

    def test_output_is_rejected(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "check", str(make_yolo(tmp_path / "set")), "--output", str(tmp_path)]) == 2
        assert "--output" in capsys.readouterr().err


class TestStats:
    def test_text_has_aligned_tables_and_paths_of_plots(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "plots"
        assert main(["data", "stats", str(make_yolo(tmp_path / "set")), "--output", str(folder)]) == 0
        lines = capsys.readouterr().out.splitlines()
        names = ("classes", "box_sizes", "centers", "sample_train", "sample_val")
        assert lines[0].split() == ["train", "val"]
        assert "  without objects               1            0" in lines
        assert ["ant", "2", "(2)", "1", "(1)"] in [line.split() for line in lines]
        assert lines[-5:] == [str(folder / f"{name}.png") for name in names]
        assert sorted(path.stem for path in folder.iterdir()) == sorted(names)

    def test_json_is_the_only_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        written: list[Path] = []
        monkeypatch.setattr(plots, "write_plots", lambda *arguments: written.append(arguments[2]) or written)
        folder = tmp_path / "plots"
        assert main(["data", "stats", str(make_yolo(tmp_path / "set")), "--json", "--output", str(folder)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["classes"] == ["ant", "bee"]
        assert [split["objects"] for split in document["splits"]] == [3, 2]
        assert list(document["fingerprint"]) == ["train", "val"]
        assert written == [folder]
