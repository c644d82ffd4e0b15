"""Videos, decoded by PyAV."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.frames import Frame, Pixels, failed_frame
from model_zoo.contract.images import DEFAULT_LIMITS
from model_zoo.contract.images.files import IMAGE_SUFFIXES
from model_zoo.contract.images.kinds import describe

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

VIDEO_SUFFIXES: Final = (
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
CONTAINERS: Final = (  # FFmpeg's names
    "mov,matroska,avi,flv,asf,gif,mjpeg,jpeg_pipe,mpegts,mpeg,mpegvideo,ogg,mxf,ivf,h264,hevc,m4v,av1,obu,dv,nut,"
    "yuv4mpegpipe"
)
# A file contains its video itself. Playlists and scripts, whatever their suffix, would read other files.
FILE_ONLY: Final = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
MAX_DAMAGED: Final = 250  # packets in a row: about 10 s
MAX_COUNT: Final = 10**9  # frames: a year at 30 per second
MAX_GAP: Final = 3600.0  # seconds between two frames
DEFAULT_RATE: Final = 25.0  # frames per second of a file that has no times
TIMEOUT: Final = (10.0, 10.0)  # seconds to open, and to wait for data


class VideoFile:
    """A video in a file or at an address. Every frame is yielded."""

    is_live = False
    is_video = True

    def __init__(self, name: str, url: str | None = None, options: Mapping[str, str] = FILE_ONLY) -> None:
        self.name = name
        self._url, self._options = url or f"file:{name}", options
        self._stopped = False
        pyav()

    def __iter__(self) -> Iterator[Frame]:
        try:
            with open_video(self._url, self._options) as container:
                yield from self._frames(container)
        except ImageError as error:
            yield failed_frame(self.name, error)

    def count(self) -> int | None:
        """Return the number of frames by the header, None if it has none."""
        try:
            with open_video(self._url, self._options) as container:
                return count_frames(container)
        except ImageError:
            return 1  # the error

    def stop(self) -> None:
        """End the iteration."""
        self._stopped = True

    def _frames(self, container: InputContainer) -> Iterator[Frame]:
        index = -1
        clock = Clock(float(container.streams.video[0].average_rate or DEFAULT_RATE))
        for index, frame in enumerate(decode(container)):
            if self._stopped:
                return
            time = clock.advance(frame.time)
            load = functools.cache(functools.partial(to_rgb, frame))
            yield Frame(self.name, load, index, time, frame.width * frame.height)
        if index < 0:
            raise ImageError("expected a video; none of its frames can be decoded")


class Clock:
    """Times of frames. They begin with 0 and grow, whatever the file has.

    A time that is missing, does not grow, or jumps by more than MAX_GAP becomes one period after the previous one. The
    times after it continue from there.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1 / rate
        self._offset, self._last = 0.0, -self._period

    def advance(self, time: float | None) -> float:
        """Return the time of the next frame in seconds. `time` is that of the file."""
        expected = self._last + self._period
        found = expected if time is None else time + self._offset
        if self._last < 0 or not self._last < found <= self._last + MAX_GAP:
            self._offset += expected - found
            found = expected
        self._last = found
        return found


def pyav() -> types.ModuleType:
    """Return the package av.

    Raises:
        LineageError: It is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise LineageError(
            "videos, cameras and streams need the package av; run: pip install 'yolo-lineage[video]'"
        ) from error
    return av


def open_video(url: str, options: Mapping[str, str], format: str | None = None) -> InputContainer:
    """Open a video or stream.

    Args:
        url: Path or address.
        options: Options of FFmpeg.
        format: Name of FFmpeg's format, by default found by the contents.

    Raises:
        LineageError: PyAV is not installed.
        ImageError: It cannot be opened, or contains no video.
    """
    av = pyav()
    limits = {"max_pixels": str(DEFAULT_LIMITS.max_pixels)}
    try:
        container = av.open(
            url, format=format, options=limits | dict(options), timeout=TIMEOUT, metadata_errors="replace"
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"expected a video that can be opened; {reason(error)}") from None
    if not any(stream.codec_context for stream in container.streams.video[:1]):
        container.close()
        raise ImageError("expected a video; it has no video track that can be decoded")
    return cast("InputContainer", container)


def decode(container: InputContainer, *, low_delay: bool = False) -> Iterator[VideoFrame]:
    """Yield the frames of the first video track. Damaged packets are skipped.

    Args:
        container: Result of `open_video`.
        low_delay: Decode each frame at once, instead of several at a time in threads.

    Raises:
        ImageError: The connection is lost, or nothing can be decoded any more.
    """
    av = pyav()
    stream = container.streams.video[0]
    stream.codec_context.options = {"max_pixels": str(DEFAULT_LIMITS.max_pixels)}
    if not low_delay:
        stream.thread_type = "AUTO"
    packets, damaged = container.demux(stream), 0
    while damaged <= MAX_DAMAGED:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            raise ImageError(reason(error)) from None
        if packet is None:
            return
        try:
            frames: list[VideoFrame] = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        damaged = 0 if frames else damaged
        yield from frames
    raise ImageError(f"{damaged} parts in a row cannot be decoded")


def to_rgb(frame: VideoFrame) -> Pixels:
    """Return upright RGB pixels (H, W, 3).

    Raises:
        ImageError: Its colors cannot be converted.
    """
    try:
        pixels = frame.to_ndarray(format="rgb24")
    except (pyav().FFmpegError, ValueError) as error:
        raise ImageError(f"expected a frame that can be converted to RGB; {reason(error)}") from None
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def count_frames(container: InputContainer) -> int | None:
    """Return the number of frames by the header or by duration and rate, None if it is unknown or absurd."""
    stream = container.streams.video[0]
    count = stream.frames
    if not count and container.duration and stream.average_rate:
        count = round(container.duration / 1e6 * float(stream.average_rate))
    return count if 0 < count <= MAX_COUNT else None


def is_video_file(path: Path) -> bool:
    """Return True for a video, by its suffix or else by its first bytes."""
    if path.suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
        return path.suffix.lower() in VIDEO_SUFFIXES
    try:
        with path.open("rb") as file:
            return describe(file.read(64)).startswith("a video")
    except OSError:
        return False  # reading it as an image reports the error


def reason(error: Exception) -> str:
    """Return why FFmpeg failed, without the address, which may have a password."""
    if isinstance(error, pyav().error.ExitError):
        return f"nothing arrived within {TIMEOUT[1]:g} s"
    return str(getattr(error, "strerror", None) or error).rstrip(".")
