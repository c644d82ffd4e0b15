"""`lineage pull`: official weights, downloaded and taken in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tyro

from lineage.cli.import_export import import_model
from model_zoo.cache_folder import cache_folder
from model_zoo.contract.errors import LineageError
from model_zoo.contract.suggest import did_you_mean
from model_zoo.releases import RELEASES, Release
from model_zoo.weights.download import DownloadError, download


def pull(
    variant: tyro.conf.Positional[str | None] = None,
    *,
    name: str | None = None,
    repository: Path = Path("models"),
    url: str | None = None,
    cache: Path | None = None,
) -> None:
    """Download the official weights of a variant and import them; without a variant, list what there is.

    A download that was interrupted goes on where it was left. The file stays in the cache.

    Args:
        variant: Whose weights, such as yolov5n.
        name: Name in the repository; by default the variant's.
        repository: Folder of the models; made where it is absent.
        url: Take the same file from another address, such as a mirror.
        cache: Folder that downloads are kept in; by default $LINEAGE_CACHE, $XDG_CACHE_HOME/yolo-lineage or
            ~/.cache/yolo-lineage.
    """
    if variant is None:
        return print("\n".join(f"{known:<18}{found.license:<20}{found.url}" for known, found in RELEASES.items()))
    release = _release(variant)
    print(f"{variant}: {release.reported}")
    print(f"its weights are under {release.license}, which importing, exporting and serving them does not change")
    path = _fetch(release, url or release.url, cache or cache_folder())
    import_model(
        path, name=name or variant, repository=repository, variant=_told(variant, path), license=release.license
    )
    return None


def _release(variant: str) -> Release:
    if variant in RELEASES:
        return RELEASES[variant]
    hints = filter(None, [did_you_mean(variant, RELEASES), f"available: {', '.join(RELEASES)}"])
    raise LineageError(f"no official weights are listed for {variant!r}; {' '.join(hints)}")


def _fetch(release: Release, url: str, cache: Path) -> Path:
    """Return the path of the release's file; files of different addresses lie in different folders."""
    place = hashlib.sha256(url.encode()).hexdigest()[:8]
    path = cache / f"{Path(release.file_name).stem}-{place}" / release.file_name
    try:
        digest = download(url, path, release.sha256)
    except DownloadError as error:
        raise DownloadError(f"{error}; got elsewhere, the file can be taken in with `lineage import FILE`") from error
    known = "as expected" if release.sha256 else "with which it can be compared later: what it should be is not known"
    print(f"{path}\nsha256 {digest}, {known}")
    return path


def _told(variant: str, path: Path) -> str | None:
    """Name the variant where the file does not tell it: Darknet's hold numbers alone."""
    return variant if path.suffix == ".weights" else None
