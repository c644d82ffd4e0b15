"""The model repository: names, aliases, and atomic changes under kills and races."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ChangeRefused, PackageError, PackageNotFound
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.conftest import ROOT


def test_published_package_is_resolved(repository: Repository, package: Package, card: ModelCard) -> None:
    assert repository.resolve("tiny") == package
    assert (package.name, package.version, package.card) == ("tiny", 1, card)
    assert package.model_path.read_bytes() == b"weights" * 1000
    assert sorted(os.listdir(package.path)) == ["card.json", "manifest.json", "model.onnx"]
    assert ModelCard.read(package.path / "card.json") == card
    assert repository.scan() == ([package], [])
    package.verify()


def test_versions_and_aliases(repository: Repository, card: ModelCard, model: Path) -> None:
    packages = [repository.publish(card, {"model.onnx": model}) for _ in range(11)]
    assert [p.version for p in packages] == repository.versions("tiny") == list(range(1, 12))
    assert repository.resolve("tiny").version == 11
    repository.set_alias("tiny", "stable", 3)
    repository.set_alias("tiny", "canary", 4)
    assert repository.aliases("tiny") == {"stable": 3, "canary": 4}
    versions = {
        r: repository.resolve(r).version for r in ("tiny", "tiny@stable", "tiny@canary", "tiny@latest", "tiny@2")
    }
    assert versions == {"tiny": 3, "tiny@stable": 3, "tiny@canary": 4, "tiny@latest": 11, "tiny@2": 2}
    repository.set_alias("tiny", "stable", 5)
    repository.remove_alias("tiny", "canary")
    assert repository.aliases("tiny") == {"stable": 5}
    with pytest.raises(PackageNotFound, match=r"no alias 'canary'; existing aliases: stable"):
        repository.remove_alias("tiny", "canary")


def test_empty_repository_error_explains_how_to_publish(repository: Repository) -> None:
    assert repository.names() == []
    assert repository.versions("tiny") == []
    assert repository.scan() == ([], [])
    ways = "publish one with `lineage import .*`lineage export .*` or `lineage publish "
    with pytest.raises(PackageNotFound, match=f"does not exist; {ways}"):
        repository.resolve("tiny")
    repository.root.mkdir()
    assert repository.names() == []
    with pytest.raises(PackageNotFound, match=f"is empty; {ways}"):
        repository.resolve("tiny")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("tinny", "no model 'tinny'; did you mean tiny? available: tiny"),
        ("zebra", "no model 'zebra'; available: tiny"),
        ("tiny@7", "tiny has no version '7'; expected one of: 1, latest, stable"),
        ("tiny@01", "tiny has no version '01'"),
        ("tiny@0", "tiny has no version '0'"),
        ("tiny@beta", "tiny has no version 'beta'; expected one of: 1, latest, stable"),
        ("tiny@", "tiny has no version ''"),
        ("tiny@1@1", "tiny has no version '1@1'"),
        ("", "no model ''"),
        ("@1", "no model ''"),
        ("../models/tiny", "no model '../models/tiny'"),
        ("tiny@../1", "tiny has no version '../1'"),
        (".", "no model '.'"),
    ],
)
def test_unknown_reference_error_lists_the_known_ones(
    repository: Repository, package: Package, reference: str, expected: str
) -> None:
    repository.set_alias("tiny", "stable", package.version)
    with pytest.raises(PackageNotFound) as caught:
        repository.resolve(reference)
    assert expected in str(caught.value)


@pytest.mark.parametrize("alias", ["latest", "Latest", "STABLE", "3", "", "../x", ".hidden", "a b", "a\n"])
def test_invalid_alias_is_refused(repository: Repository, package: Package, alias: str) -> None:
    with pytest.raises(PackageError, match=r"alias: expected (letters|a name that differs)"):
        repository.set_alias("tiny", alias, package.version)
    assert repository.aliases("tiny") == {}


def test_alias_of_a_damaged_package_is_refused(repository: Repository, package: Package) -> None:
    with pytest.raises(PackageNotFound, match="no version '2'"):
        repository.set_alias("tiny", "stable", 2)
    with pytest.raises(PackageNotFound, match="no model 'none'"):
        repository.set_alias("none", "stable", 1)
    package.model_path.unlink()
    with pytest.raises(PackageError, match=r"model\.onnx is missing"):
        repository.set_alias("tiny", "stable", 1)
    assert not (repository.root / "none").exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"stable": "1"}', '{"stable": true}', '{"latest": 1}', '{"../x": 1}'])
def test_damaged_aliases_do_not_hide_versions(repository: Repository, package: Package, text: str) -> None:
    (repository.root / "tiny/aliases.json").write_text(text)
    assert repository.resolve("tiny@1") == package
    with pytest.raises(PackageError, match=r"tiny: .*aliases\.json"):
        repository.resolve("tiny")
    packages, (problem,) = repository.scan()
    assert packages == [package]
    assert problem.version is None
    assert "aliases.json" in problem.reason


def test_dangling_alias_is_a_problem(repository: Repository, package: Package) -> None:
    (repository.root / "tiny/aliases.json").write_text('{"stable": 9}')
    with pytest.raises(PackageNotFound, match=r"no version 'stable' \(alias of version 9\)"):
        repository.resolve("tiny")
    packages, (problem,) = repository.scan()
    assert packages == [package]
    assert "alias 'stable' points to version 9, which does not exist" in problem.reason


def test_remove(repository: Repository, card: ModelCard, model: Path) -> None:
    for _ in range(2):
        repository.publish(card, {"model.onnx": model})
    repository.set_alias("tiny", "stable", 2)
    with pytest.raises(PackageError, match="tiny@2: cannot remove it while stable points to it; move or remove"):
        repository.remove("tiny", 2)
    repository.remove("tiny", 1)
    assert repository.versions("tiny") == [2]
    with pytest.raises(PackageNotFound, match="no version '1'"):
        repository.remove("tiny", 1)
    repository.remove_alias("tiny", "stable")
    (repository.root / "tiny/2/model.onnx").unlink()
    with pytest.raises(ChangeRefused, match=r"tiny@2 is the last version; force its removal"):
        repository.remove("tiny", 2)
    repository.remove("tiny", 2, force=True)
    assert os.listdir(repository.root) == []


def test_alias_of_damaged_files_is_refused(repository: Repository, package: Package) -> None:
    (package.path / "model.onnx").write_bytes(b"wrong")
    with pytest.raises(PackageError, match=r"tiny@1: model\.onnx is damaged"):
        repository.set_alias("tiny", "stable", 1)
    assert repository.aliases("tiny") == {}


def test_forced_removal_removes_the_aliases_too(repository: Repository, card: ModelCard, model: Path) -> None:
    for _ in range(2):
        repository.publish(card, {"model.onnx": model})
    repository.set_alias("tiny", "stable", 2)
    repository.set_alias("tiny", "old", 1)
    repository.remove("tiny", 2, force=True)
    assert (repository.versions("tiny"), repository.aliases("tiny")) == ([1], {"old": 1})


def test_remove_model(repository: Repository, card: ModelCard, package: Package, model: Path) -> None:
    repository.publish(replace(card, name="other"), {"model.onnx": model})
    repository.set_alias("tiny", "stable", package.version)
    repository.remove_model("tiny")
    assert os.listdir(repository.root) == ["other"]
    with pytest.raises(PackageNotFound, match="no model 'tiny'"):
        repository.remove_model("tiny")


def test_damaged_package_does_not_hide_others(repository: Repository, card: ModelCard, model: Path) -> None:
    for name in ("a", "a", "b", "c"):
        repository.publish(replace(card, name=name), {"model.onnx": model})
    (repository.root / "a/2/model.onnx").unlink()
    (repository.root / "c").rename(repository.root / "c - Copy")
    (repository.root / "README.md").write_text("text")
    packages, problems = repository.scan()
    assert [(p.name, p.version) for p in packages] == [("a", 1), ("b", 1)]
    assert [(p.name, p.version) for p in problems] == [("a", 2), ("c - Copy", None)]
    assert str(repository.root / "a/2") in problems[0].reason
    assert str(repository.root / "c - Copy") in problems[1].reason
    assert repository.names() == ["a", "b"]


def test_case_of_a_renamed_folder_is_a_problem(repository: Repository, package: Package) -> None:
    (repository.root / "tiny").rename(repository.root / "Tiny")
    packages, (problem,) = repository.scan()
    assert packages == []
    assert "expected a card of 'Tiny'; got one of 'tiny'" in problem.reason


def test_failed_publish_leaves_no_files(repository: Repository, card: ModelCard, model: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"tiny: cannot publish in .*No such file"):
        repository.publish(card, {"model.onnx": model, "more": tmp_path / "none"})
    assert not (repository.root / "tiny").exists()
    repository.root.joinpath("other").write_text("a file where the model's folder should be")
    with pytest.raises(PackageError, match="cannot publish"):
        repository.publish(replace(card, name="other"), {"model.onnx": model})


KILLS = """
import os, sys
from pathlib import Path
from model_zoo.contract.card import ModelCard
from model_zoo.contract.repository import Repository

root, model, card = Path(sys.argv[1]), Path(sys.argv[2]), ModelCard.read(Path(sys.argv[3]))
repository, sync = Repository(root), os.fsync

def work():
    version = repository.publish(card, {"model.onnx": model}).version
    repository.set_alias("tiny", "stable", version)
    if version > 1:
        repository.remove("tiny", version - 1)

def killed_after(steps):
    def step(event="os.fsync", args=()):
        nonlocal steps
        if event == "open" or event.startswith("os."):
            steps -= 1
            if steps < 0:
                os._exit(9)
    os.fsync = lambda handle: (step(), sync(handle), step())
    sys.addaudithook(step)
    work()
    os._exit(0)

steps = status = 0
work()
while steps == 0 or status != 0:
    child = os.fork() or killed_after(steps)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    packages, problems = repository.scan()
    assert packages and not problems, (steps, problems)
    for package in packages:
        package.verify()
    assert repository.resolve("tiny@stable").version in repository.versions("tiny")
    assert repository.resolve("tiny").card == card
    for package in packages[:-1]:
        if package.version not in repository.aliases("tiny").values():
            repository.remove("tiny", package.version)
    steps += 1
work()
print(steps, len([p for p in (root / "tiny").iterdir() if p.name.startswith((".publish", ".removed", ".aliases"))]))
"""


def test_kill_at_any_step_leaves_only_complete_packages(
    repository: Repository, card: ModelCard, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "card.json").write_text(card.to_json())
    steps, leftovers = _run(KILLS, repository.root, model, tmp_path / "card.json").split()
    assert int(steps) > 50, "kills must cover every file system operation"
    assert int(leftovers) > 10, "kills must interrupt operations"
    assert len(repository.scan()[0]) >= 1


PUBLISHES = """
import sys
from pathlib import Path
from model_zoo.contract.card import ModelCard
from model_zoo.contract.repository import Repository

root, model, card = Path(sys.argv[1]), Path(sys.argv[2]), ModelCard.read(Path(sys.argv[3]))
print("ready", flush=True)
input()
for _ in range(10):
    print(Repository(root).publish(card, {"model.onnx": model}).version, flush=True)
"""


def test_concurrent_publishers_get_different_versions(
    repository: Repository, card: ModelCard, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "card.json").write_text(card.to_json())
    arguments = [str(a) for a in (repository.root, model, tmp_path / "card.json")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    publishers = [subprocess.Popen([sys.executable, "-c", PUBLISHES, *arguments], **pipes) for _ in range(3)]
    assert [p.stdout.readline() for p in publishers] == ["ready\n"] * 3
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    versions = [int(line) for p in publishers for line in p.communicate(timeout=60)[0].split()]
    assert sorted(versions) == list(range(1, 31)) == repository.versions("tiny")
    assert [p.wait() for p in publishers] == [0, 0, 0]
    packages, problems = repository.scan()
    assert (len(packages), problems) == (30, [])


def test_concurrent_aliases_are_all_kept(repository: Repository, package: Package) -> None:
    names = [f"alias{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        setting = [pool.submit(repository.set_alias, "tiny", name, package.version) for name in names]
        while not all(s.done() for s in setting):
            assert set(repository.aliases("tiny")) <= set(names), "readers must only see complete files"
    assert [s.result() for s in setting] == [None] * 40
    assert repository.aliases("tiny") == dict.fromkeys(names, 1)


def test_read_only_repository_refuses_changes(repository: Repository, package: Package) -> None:
    if os.geteuid() == 0:  # root may write anywhere: make the lock file unusable instead
        (repository.root / "tiny/.lock").mkdir()
    else:
        (repository.root / "tiny").chmod(0o555)
    assert repository.resolve("tiny@latest") == package
    with pytest.raises(PackageError, match="tiny: cannot change it in"):
        repository.set_alias("tiny", "stable", 1)


def _run(script: str, *arguments: Path) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_empty_repository_is_explained_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(PackageNotFound, match=r"^the model repository .* does not exist"):
        Repository(tmp_path / "none").resolve("")
