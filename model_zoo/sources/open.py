"""Sources by the words that users give.

sources = open_sources(["images", "clip.mp4", "rtsp://camera/stream", "-"])
for frame in sources:
    ...
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Frame, Source
from model_zoo.contract.images import DEFAULT_LIMITS
from model_zoo.contract.images.files import IMAGE_SUFFIXES, find_images
from model_zoo.sources.images import Image, image_file
from model_zoo.sources.urls import hide_password, is_url, open_live, open_url
from model_zoo.sources.video import VIDEO_SUFFIXES, VideoFile, is_video_file

STDIN: Final = "-"
CAMERA: Final = re.compile(r"\d{1,3}|/dev/video\d+")
FILES: Final = IMAGE_SUFFIXES + VIDEO_SUFFIXES


@dataclass(frozen=True, eq=False)
class Sources:
    """Several sources as one."""

    items: list[Source]
    """The sources, in order."""
    every: int = 1
    """Of a video, only frames whose number is a multiple of this are yielded."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set by `stop`."""

    @property
    def is_live(self) -> bool:
        """True if the only source is a camera or a stream."""
        return any(source.is_live for source in self.items)

    @property
    def is_video(self) -> bool:
        """True if any source has frames with numbers."""
        return any(source.is_video for source in self.items)

    def __iter__(self) -> Iterator[Frame]:
        for source in self.items:
            if not self.stopped.is_set():
                yield from (frame for frame in source if not (frame.index or 0) % self.every)

    def count(self) -> int | None:
        """Return the number of frames of all sources, None if that of any is unknown."""
        total = 0
        for source in self.items:
            if (count := source.count()) is None:
                return None
            total += math.ceil(count / self.every) if source.is_video else count
        return total

    def stop(self) -> None:
        """End the iteration."""
        self.stopped.set()
        for source in self.items:
            source.stop()


def open_sources(words: Iterable[str | Path], stdin: IO[bytes] | None = None, every: int = 1) -> Sources:
    """Return the sources that words name, without duplicates, in the order of the words.

    Args:
        words: Files, folders, patterns, addresses, cameras (0, /dev/video0), and - for standard input: the bytes of an
            image, or a list of words, one a line.
        stdin: Standard input.
        every: Of a video, only each frame of this distance.

    Raises:
        LineageError: A word has no meaning, a stream cannot be opened, or there is another source beside a live one.
            `every` is less than 1, or not 1 for a live source.
    """
    found: list[str | Image] = []
    for word in map(str, words):
        if not word:
            raise LineageError("expected the name of a file or folder, or an address; got an empty one")
        found += _read_stdin(stdin or sys.stdin.buffer) if word == STDIN else _expand(word)
    sources = [open_source(one) if isinstance(one, str) else one for one in dict.fromkeys(found)]
    live = next((source.name for source in sources if source.is_live), None)
    if live and len(sources) > 1:
        raise LineageError(f"{live} does not end: expected it alone, got {len(sources)} sources; start one for each")
    if every < 1 or (live and every > 1):
        raise LineageError(f"every: expected 1 or more for video files, and 1 for cameras and streams; got {every}")
    return Sources(sources, every)


def open_source(name: str) -> Source:
    """Return the source of a single file, address or camera.

    Raises:
        LineageError: It cannot be opened. An image or a video file reports that with its frame instead.
    """
    path = Path(name)
    try:
        if is_url(name):
            return open_url(name)
        if _is_camera(name):
            device = name if name.startswith("/") else f"/dev/video{name}"
            return open_live(name, device, "v4l2", {})
        _check_kind(path)
        return VideoFile(name, f"file:{path}") if is_video_file(path) else image_file(path)
    except ImageError as error:
        raise LineageError(f"{hide_password(name) if is_url(name) else name}: {error}") from None


def _check_kind(path: Path) -> None:
    """Check that a path is no pipe: it can be read once, and reading it may never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ImageError("expected a file; got a pipe or device; send the output of a program to `lineage detect -`")


def _expand(word: str) -> list[str]:
    return [word] if is_url(word) or _is_camera(word) else [str(path) for path in find_images(word, FILES)]


def _is_camera(word: str) -> bool:
    return bool(CAMERA.fullmatch(word)) and not Path(word).is_file() and not Path(word).is_dir()


def _read_stdin(stdin: IO[bytes]) -> list[str | Image]:
    """Return the sources in a list of words, or the image that standard input is."""
    limit = DEFAULT_LIMITS.max_bytes
    data = stdin.read(limit + 1)
    if not data or len(data) > limit:
        actual = "more" if data else "nothing"
        raise LineageError(f"-: expected an image, or a list of files, of at most {limit:,} bytes; got {actual}")
    lines = _text_lines(data)
    if lines is None:
        return [Image(STDIN, lambda: data)]
    return [name for line in lines if line for name in _expand(line)]


def _text_lines(data: bytes) -> list[str] | None:
    """Return the lines of a text, or None for an image: their files contain zeros or are no UTF-8."""
    try:
        return None if b"\0" in data else data.decode().splitlines()
    except UnicodeDecodeError:
        return None
