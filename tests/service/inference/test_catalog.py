"""Catalogs of a repository."""

from __future__ import annotations

import os
import resource
import shutil

from model_zoo.contract.errors import PackageError
from model_zoo.contract.repository import Repository
from service.inference.catalog import read_catalog
from tests.service.conftest import Publish


def test_catalog_of_a_missing_folder_is_empty(repository: Repository) -> None:
    catalog = read_catalog(repository)
    assert (catalog.names, catalog.defaults, catalog.problems) == ([], [], ())


def test_references_follow_aliases(repository: Repository, publish: Publish) -> None:
    first, second, other = publish(), publish(), publish("other")
    repository.set_alias("toy", "stable", 1)
    catalog = read_catalog(repository)
    assert catalog.packages == {"toy@1": first, "toy@2": second, "other@1": other}
    assert catalog.references == {
        "toy": first, "toy@stable": first, "toy@latest": second, "other": other, "other@latest": other
    }  # fmt: skip
    assert catalog.aliases == {"toy": {"stable": 1}, "other": {}}
    assert catalog.defaults == [other, first]


def test_damage_is_listed_and_does_not_affect_other_models(repository: Repository, publish: Publish) -> None:
    publish().model_path.unlink()
    publish("other")
    (repository.root / "other" / "aliases.json").write_text("no JSON")
    catalog = read_catalog(repository)
    assert catalog.names == ["other"]
    assert catalog.references.keys() == {"other@latest"}
    assert {problem.name for problem in catalog.problems} == {"toy", "other"}


def test_empty_mount_point_is_not_an_emptied_repository(repository: Repository, publish: Publish) -> None:
    publish()
    before = read_catalog(repository)
    away = repository.root.rename(repository.root.with_name("away"))
    repository.root.mkdir()
    assert read_catalog(repository).is_unmounted(before)
    shutil.rmtree(away / "toy")
    assert not read_catalog(Repository(away)).is_unmounted(before), "its models were removed"


def test_exhausted_descriptors_do_not_lose_a_model(repository: Repository, publish: Publish) -> None:
    package = publish()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = os.dup(0)  # the lowest free descriptor
    os.close(opened)
    errors: list[str] = []
    for free in range(6):  # fail at each step of reading
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + free, hard))
        try:
            catalog = read_catalog(repository)
        except PackageError as error:
            errors.append(str(error))
        else:
            assert catalog.has(package), free
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert errors
    assert all("Too many open files" in error for error in errors)
