"""`lineage models rollout`: show or change the rollout policy of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import tyro

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import LATEST, Repository
from model_zoo.contract.rollout import Canary, HeaderMatch, Rollout, Shadow, parse_rollout, read_rollout
from model_zoo.contract.set_rollout import change_rollout, remove_rollout, resolve_rollout

NONE: Final = "none"


def rollout(
    name: Annotated[str, tyro.conf.Positional, option("NAME")],
    *,
    stable: Annotated[str | None, option("VERSION")] = None,
    canary: Annotated[str | None, option("VERSION")] = None,
    percent: Annotated[float | None, option("0-100")] = None,
    header: Annotated[str | None, option("NAME[=VALUE]")] = None,
    sticky: Annotated[str | None, option("HEADER")] = None,
    shadow: Annotated[str | None, option("VERSION")] = None,
    shadow_percent: Annotated[float | None, option("0-100")] = None,
    promote: bool = False,
    clear: bool = False,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
) -> None:
    """Show or change the rollout policy of a model, which applies to its bare name.

    Options that are not given leave their part as it is. A running server follows.

    Args:
        name: Name of the model.
        stable: Version or alias that answers for the bare name. `none` removes this part.
        canary: Version or alias that answers a share of the requests. `none` removes this part.
        percent: Share of the canary. A larger share never takes the canary from a client that has it.
        header: Requests with this header get the canary. `none` removes this part.
        sticky: Header that draws the share, so that a client stays with its version. `client` means its API key or
            address. `none` removes this part, and every request is drawn by itself.
        shadow: Version or alias that is compared with the answers in idle moments. `none` removes this part.
        shadow_percent: Share of the requests to compare. By default 100.
        promote: Make the canary the stable version.
        clear: Remove the policy.
        repository: Folder of the repository.
    """
    models = Repository(repository)
    models.version_number(name, LATEST)  # reports an unknown model
    parts = (stable, canary, percent, header, sticky, shadow, shadow_percent)
    if sum((promote, clear, any(part is not None for part in parts))) > 1:
        raise LineageError("expected one of --promote, --clear, or options that set parts of the policy; got several")
    if clear:
        remove_rollout(models, name)
        print(f"{name}: removed the rollout policy")
        return

    def change(before: Rollout) -> Rollout:
        after = replace(
            before,
            stable=before.stable if stable is None else _optional(stable),
            canary=_canary(before.canary, canary, percent, header, sticky),
            shadow=_shadow(before.shadow, shadow, shadow_percent),
        )
        return before.promote() if promote else parse_rollout(after.to_document())

    if promote or any(part is not None for part in parts):
        policy = change_rollout(models, name, change)
    else:
        policy = read_rollout(models.root / name) or Rollout()
    _print(models, name, policy)


def _canary(
    before: Canary | None, version: str | None, percent: float | None, header: str | None, sticky: str | None
) -> Canary | None:
    if version == NONE:
        return None
    if before is None and version is None and (percent, header, sticky) == (None, None, None):
        return None
    base = before or Canary(version or "")
    changed = replace(
        base,
        version=version or base.version,
        percent=base.percent if percent is None else percent,
        header=base.header if header is None else _header(header),
        sticky=base.sticky if sticky is None else _optional(sticky),
    )
    if not changed.version:
        raise LineageError("--percent, --header and --sticky: expected with --canary VERSION; there is no canary yet")
    return changed


def _shadow(before: Shadow | None, version: str | None, percent: float | None) -> Shadow | None:
    if version == NONE:
        return None
    if before is None and version is None:
        if percent is not None:
            raise LineageError("--shadow-percent: expected with --shadow VERSION; there is no shadow yet")
        return None
    base = before or Shadow(version or "")
    return Shadow(version or base.version, base.percent if percent is None else percent)


def _header(text: str) -> HeaderMatch | None:
    name, separator, value = text.partition("=")
    return None if text == NONE else HeaderMatch(name, value if separator else None)


def _optional(text: str) -> str | None:
    return None if text == NONE else text


def _print(models: Repository, name: str, policy: Rollout) -> None:
    lines = policy.describe(resolve_rollout(models, name, policy))
    for line in lines or ["no rollout policy: the alias stable or the newest version answers for the bare name"]:
        print(f"{name}: {line}")
