"""`lineage models alias` and `lineage models remove`: change a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from lineage.cli.arguments import option
from model_zoo.contract.errors import PackageError
from model_zoo.contract.plural import plural
from model_zoo.contract.repository import LATEST, Repository


def alias(
    name: Annotated[str, tyro.conf.Positional, option("NAME")],
    alias: Annotated[str, tyro.conf.Positional, option("ALIAS")],
    version: Annotated[str, tyro.conf.Positional, option("VERSION")],
    *,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
) -> None:
    """Point an alias of a model to a version.

    A bare name refers to the alias `stable` if it is set, else to the newest version. A running server follows.

    Args:
        name: Name of the model.
        alias: Alias such as stable or canary. It is created, or moved.
        version: Number of the version, or another alias of it.
        repository: Folder of the repository.
    """
    models = Repository(repository)
    number = models.version_number(name, version)
    before = models.aliases(name).get(alias)
    models.set_alias(name, alias, number)
    print(f"{name}@{alias} is version {number}" + (f" (was {before})" if before not in (None, number) else ""))


def remove(
    target: Annotated[str, tyro.conf.Positional, option("NAME[/VERSION]")],
    *,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    force: bool = False,
) -> None:
    """Remove a version, an alias or a model from a repository.

    Args:
        target: NAME/VERSION or NAME@VERSION for a version, NAME/ALIAS for an alias, NAME for a model with all versions.
        repository: Folder of the repository.
        force: Also remove a version that an alias points to, the last version of a model, or a whole model.
    """
    models = Repository(repository)
    name, separator, version = target.rstrip("/").replace("/", "@", 1).partition("@")
    if not separator:
        _remove_model(models, name, force)
    elif version in (aliases := _readable_aliases(models, name, version)):
        models.remove_alias(name, version)
        print(f"removed the alias {name}@{version}; version {aliases[version]} is still there")
    elif version == LATEST:
        newest = models.version_number(name, LATEST)
        raise PackageError(f"{target}: {LATEST} is implied and cannot be removed; to remove it, name version {newest}")
    else:
        number = models.version_number(name, version)
        models.remove(name, number, force=force)
        print(f"removed {name}@{number}")


def _remove_model(models: Repository, name: str, force: bool) -> None:
    newest = models.version_number(name, LATEST)
    versions = models.versions(name)
    if not force:
        raise PackageError(
            f"{name} has {plural(len(versions), 'version')}; name one, such as {name}/{newest}, "
            "or give --force to remove the model"
        )
    models.remove_model(name)
    print(f"removed {name} with {plural(len(versions), 'version')}")


def _readable_aliases(models: Repository, name: str, version: str) -> dict[str, int]:
    """Return the aliases of a model. Damaged ones must not prevent the removal of a version."""
    models.version_number(name, LATEST)  # reports an unknown model
    return {} if version.isdigit() else models.aliases(name)
