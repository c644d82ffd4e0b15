"""`lineage pull`: download official weights and import them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from lineage.cli.arguments import option
from lineage.cli.published import print_published
from model_zoo.contract.repository import Repository


def pull(
    variant: Annotated[str | None, tyro.conf.Positional, option("[VARIANT]")] = None,
    *,
    name: Annotated[str | None, option("NAME")] = None,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    url: Annotated[str | None, option("URL")] = None,
    cache: Annotated[Path | None, option("FOLDER")] = None,
) -> None:
    """Download the official weights of a variant and import them.

    An interrupted download is resumed. Downloads are kept in the cache.

    Args:
        variant: Variant such as yolov5n. If omitted, all variants with official weights are listed.
        name: Name in the repository. If omitted, the variant's.
        repository: Folder of the repository, created if needed.
        url: Another address of the same file, such as a mirror.
        cache: Folder of downloads. If omitted, $LINEAGE_CACHE, $XDG_CACHE_HOME/yolo-lineage or ~/.cache/yolo-lineage.
    """
    if variant is None:
        from model_zoo.releases import RELEASES

        print("\n".join(f"{known:<18}{release.license:<20}{release.url}" for known, release in RELEASES.items()))
        return
    from model_zoo.pull import pull_weights

    package = pull_weights(variant, Repository(repository), name, url=url, cache=cache, log=print)
    print_published(package, repository)
