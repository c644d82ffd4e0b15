"""Names of unsupported files in error messages."""

from __future__ import annotations

import re

import pytest

from model_zoo.contract.errors import UnsupportedImage
from model_zoo.contract.images import decode_image, probe
from tests.non_image_files import NON_IMAGE_FILES


@pytest.mark.parametrize("name", NON_IMAGE_FILES)
def test_unsupported_files_are_refused(name: str) -> None:
    with pytest.raises(
        UnsupportedImage, match=r"expected a JPEG, PNG, WebP, TIFF or BMP image; got .+; (convert|save or send)"
    ):
        probe(NON_IMAGE_FILES[name])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gif", "a GIF"),
        ("pdf", "a PDF document"),
        ("avif", "an AVIF image"),
        ("mp4", "a video"),
        ("zip", "a ZIP archive"),
        ("svg", "an SVG"),
        ("html", "an HTML page"),
        ("json", "JSON"),
        ("lfs", "a Git LFS pointer"),
        ("text", "text"),
        ("empty", "an empty file"),
        ("ones", "unknown content"),
    ],
)
def test_unsupported_file_is_named(name: str, kind: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"got {kind}"):
        decode_image(NON_IMAGE_FILES[name])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"photo.jpg", "a file name (send its contents"),
        (b"@C:\\images\\a b.PNG\n", "a file name (send its contents"),
        (b"https://example.org/a.jpg", "a web address (send the image itself)"),
        (b"see photo.jpg or so", "text"),
    ],
)
def test_names_in_place_of_contents_are_explained(data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"got {re.escape(kind)}"):
        decode_image(data)
