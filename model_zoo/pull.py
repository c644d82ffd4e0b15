"""Download official weights and import them.

package = pull_weights("yolov5n", Repository(Path("models")), log=print)
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from model_zoo.contract.cache_folder import cache_folder
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.contract.suggest import did_you_mean
from model_zoo.contract.targets import check_folder_target, check_name
from model_zoo.convert import import_weights
from model_zoo.export.log import Log, silent
from model_zoo.releases import RELEASES, Release
from model_zoo.weights.download import DownloadError, download


def pull_weights(
    variant: str,
    repository: Repository,
    name: str | None = None,
    *,
    url: str | None = None,
    cache: str | Path | None = None,
    log: Log = silent,
) -> Package:
    """Download the official weights of a variant, and import them as the next version of `name`.

    Args:
        variant: Variant with official weights.
        repository: Repository to publish in.
        name: Name of the model. If omitted, the variant's.
        url: Another address of the same file, such as a mirror.
        cache: Folder of downloads. If omitted, `cache_folder()`.
        log: Called with progress messages.

    Raises:
        LineageError: There are no official weights of the variant.
        DownloadError: The file cannot be downloaded, or has another sha256.
    """
    release = find_release(variant)
    check_name(name)
    check_folder_target(repository.root)
    log(f"{variant}: {release.result}")
    log(f"the weights are licensed under {release.license}; importing, exporting and serving them does not change that")
    path = download_release(release, url, cache, log)
    # Darknet's files contain no layer names, so the variant is given rather than identified.
    given_variant = variant if path.suffix == ".weights" else None
    return import_weights(path, repository, name or variant, variant=given_variant, license=release.license, log=log)


def find_release(variant: str) -> Release:
    """Return the official release of a variant.

    Raises:
        LineageError: There are no official weights of the variant.
    """
    if variant in RELEASES:
        return RELEASES[variant]
    hints = filter(None, [did_you_mean(variant, RELEASES), f"available: {', '.join(RELEASES)}"])
    raise LineageError(f"no official weights are listed for {variant!r}; {' '.join(hints)}")


def download_release(
    release: Release, url: str | None = None, cache: str | Path | None = None, log: Log = silent
) -> Path:
    """Download the file of a release, and return its path. Each address has its own folder in the cache.

    Raises:
        DownloadError: The file cannot be downloaded, or has another sha256.
    """
    url = url or release.url
    address_digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    folder = Path(cache or cache_folder()) / f"{Path(release.file_name).stem}-{address_digest}"
    path = folder / release.file_name
    try:
        sha256 = download(url, path, release.sha256)
    except DownloadError as error:
        raise DownloadError(f"{error}; a file from elsewhere can be imported with `lineage import FILE`") from error
    log(f"{path}\nsha256 {sha256}, {'as expected' if release.sha256 else 'not verified: no reference is recorded'}")
    return path
