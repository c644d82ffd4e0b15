"""A small RTSP server: an endless MPEG transport stream over one connection at a time, as cameras send it."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Self

import numpy as np
import pytest

PACKET = 188 * 7  # bytes of a transport stream in one RTP packet
SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=test
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 33
a=control:track
""".replace("\n", "\r\n")


def mpeg_ts(images: Iterator[np.ndarray], rate: int) -> Iterator[bytes]:
    """Yield the bytes of each frame in an MPEG transport stream, every one a key frame."""
    av = pytest.importorskip("av", reason="videos need the extra `video`")
    file: Any = io.BytesIO()
    file.seekable = lambda: False
    container = av.open(file, "w", format="mpegts", options={"flush_packets": "1"})
    stream: Any = None
    for number, image in enumerate(images):
        if stream is None:
            stream = container.add_stream("libx264", rate=rate, options={"tune": "zerolatency", "preset": "ultrafast"})
            stream.height, stream.width, stream.pix_fmt, stream.gop_size = *image.shape[:2], "yuv420p", 1
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, rate)
        container.mux(stream.encode(frame))
        yield file.getvalue()
        file.seek(0)
        file.truncate()


class RtspServer:
    """Sends images to one client at a time. `cut` ends the connection. Use it in a `with` block."""

    def __init__(self, images: Iterator[np.ndarray], rate: int = 25) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://user:secret@127.0.0.1:{self._socket.getsockname()[1]}/garden"
        self._images, self._rate = images, rate
        self._client: socket.socket | None = None
        self._closed = False
        self.connections = 0
        self.sent = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._socket.close()
        self.cut()
        self._thread.join(5)

    def cut(self) -> None:
        """Cut the connection, as when a camera loses power."""
        if self._client:
            self._client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self._closed:
            try:
                self._client, _ = self._socket.accept()
                with self._client:
                    self._answer(self._client)
            except OSError:
                self._client = None

    def _answer(self, client: socket.socket) -> None:
        lines = client.makefile("r", newline="\r\n")
        while method := lines.readline().partition(" ")[0]:
            headers = dict(line.strip().split(": ", 1) for line in iter(lines.readline, "\r\n"))
            body, more = "", ""
            if method == "DESCRIBE":
                body, more = SDP, "Content-Type: application/sdp\r\n"
            if method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
            client.sendall((head + body).encode())
            if method == "PLAY":
                self.connections += 1
                self._send(client)
                return

    def _send(self, client: socket.socket) -> None:
        """Send frames at their times, in RTP packets of payload type 33 (RFC 2250)."""
        sequence, start = 0, time.monotonic()
        for number, data in enumerate(mpeg_ts(self._images, self._rate)):
            time.sleep(max(0.0, start + number / self._rate - time.monotonic()))
            for i in range(0, len(data), PACKET):
                clock = 90_000 * number // self._rate
                rtp = struct.pack("!BBHII", 0x80, 33, sequence % 65536, clock, 1) + data[i : i + PACKET]
                client.sendall(b"$\0" + struct.pack("!H", len(rtp)) + rtp)
                sequence += 1
            self.sent += 1
