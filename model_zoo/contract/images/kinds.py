"""Names of unsupported file types, identified by their first bytes, for error messages."""

from __future__ import annotations

import re

_KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"GIF8[79]a", "a GIF"),
    (rb"%PDF", "a PDF document"),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive (or a document in one)"),
    (rb".{4}ftypavi[fs]", "an AVIF image"),
    (rb".{4}ftypcrx", "a camera raw file (CR3)"),
    (rb".{4}(ftyp|moov|mdat|wide)", "a video (MP4 or MOV)"),
    (rb"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (rb"RIFF.{4}AVI |\0\0\x01[\xba\xb3]|FLV\x01|OggS|\x30\x26\xb2\x75", "a video"),
    (rb"RIFF.{4}WAVE|ID3|fLaC|\xff[\xfb\xf3\xf2]", "an audio file"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL image"),
    (rb"II\+\0|MM\0\+", "a BigTIFF image"),
    (rb"II(U\0|RO|RS)|FUJIFILM|FOVb", "a camera raw file"),
    (rb"8BPS", "a Photoshop document"),
    (rb"gimp xcf", "a GIMP document"),
    (rb"\0\0[\x01\x02]\0", "an icon (ICO or CUR)"),
    (rb"v/1\x01|#\?RADIANCE|#\?RGBE", "a high dynamic range image"),
    (rb"P[1-7fF]\s", "a Netpbm image"),
    (rb"[\x8a\x8b][JM]NG\r\n", "a JNG or MNG animation"),
    (rb"qoif|DDS |BPG\xfb|SIMPLE  =|\x59\xa6\x6a\x95", "an image in a rare format"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd|.{257}ustar", "a compressed archive"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x80[\x02-\x05]", "a Python pickle"),
    (rb"\x89HDF|SQLite format 3", "a database"),
    (rb"\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|\0asm|#!", "a program"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document"),
    (rb"\{\\rtf|\xd0\xcf\x11\xe0", "an office document"),
    (rb"version https://git-lfs", "a Git LFS pointer (fetch the file with `git lfs pull`)"),
    (rb"data:", "a data URL (send the decoded bytes)"),
    (rb"https?://[^\s]+\s*$", "a web address (send the image itself)"),
    (
        rb"@?[^\r\n]{0,200}\.(?i:jpe?g|png|webp|tiff?|bmp|gif)\s*$",
        "a file name (send its contents, with curl: file=@NAME)",
    ),
    (rb"(\xef\xbb\xbf)?\s*<(\?xml|!--|!DOCTYPE svg|svg)", "an SVG or XML document"),
    (rb"(\xef\xbb\xbf)?\s*<", "an HTML page or other markup"),
    (rb"(\xef\xbb\xbf)?\s*[\[{]", "JSON"),
    (rb"/9j/|iVBORw0KGgo|UklGR|Qk0|SUkq|TU0A", "base64 text (send the decoded bytes)"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _KINDS)


def describe(data: bytes) -> str:
    """Return what a file looks like, for an error message."""
    if not data:
        return "an empty file"
    head = data[:512]
    known = next((name for pattern, name in _PATTERNS if pattern.match(head)), None)
    return known or ("text" if _is_text(head) else f"unknown content (starting with {head[:8].hex(' ')})")


def _is_text(head: bytes) -> bool:
    """Return True if the bytes may be UTF-8 or Latin text, which never contain bytes from 0xF5."""
    return all(32 <= byte < 0xF5 or byte in b"\t\n\r\f" for byte in head) and 127 not in head
