"""Camera and video of the playground in a real browser, with Chromium's camera for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from service.access.key_file import add_key
from tests.e2e.browser import CHROMIUM, FLAGS, SCREENSHOTS, audit, launched, needs_chromium, watched_page
from tests.e2e.playground import address, slide, toy_server
from tests.e2e.server import Server

pytestmark = [needs_chromium, pytest.mark.slow]

COLOR = (25, 102, 204)  # BGR, on which the toy model detects red, green and blue with scores 0.8, 0.4 and 0.1
SIZE = (240, 320)
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with toy_server(tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video file that Chromium shows as a camera: raw frames of one color."""
    path, (height, width) = tmp_path_factory.mktemp("camera") / "camera.y4m", SIZE
    frame = cv2.cvtColor(np.full((height, width, 3), COLOR, np.uint8), cv2.COLOR_BGR2YUV_I420).tobytes()
    header = f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(header + b"".join(b"FRAME\n" + frame for _ in range(10)))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WebM file of two seconds in one color."""
    path, (height, width) = tmp_path_factory.mktemp("video") / "video.webm", SIZE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 20, (width, height))
    if not writer.isOpened():
        pytest.skip("needs an OpenCV that writes VP8")
    for _ in range(40):
        writer.write(np.full((height, width, 3), COLOR, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def browser(camera: Path) -> Iterator[Any]:
    with launched(*CAMERA, f"--use-file-for-fake-video-capture={camera}") as chromium:
        yield chromium


@contextmanager
def opened(browser: Any, server: Server, query: str = "?model=toy", **options: Any) -> Iterator[Any]:
    """Open the tab. Errors in the page fail the test."""
    provoked = ("WebSocket connection", "401", "426")
    with watched_page(browser, address(server), provoked, **options) as page:
        page.goto(f"{address(server)}{query}#live")
        page.locator("#start").wait_for()
        yield page


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    with opened(browser, server) as page:
        yield page


def start(page: Any) -> None:
    page.locator("#model option").first.wait_for(state="attached")
    page.click("#start")
    page.locator("#objects", has_text="1").wait_for()


def drawn_pixels(page: Any) -> int:
    """Return the number of pixels of the boxes and labels over the video."""
    return int(
        page.evaluate(
            """() => {
                const boxes = document.getElementById("boxes");
                const { data } = boxes.getContext("2d").getImageData(0, 0, boxes.width, boxes.height);
                return data.filter((value, i) => i % 4 === 3 && value > 0).length;
            }"""
        )
    )


def test_boxes_of_a_camera_are_drawn(page: Any) -> None:
    start(page)
    assert page.inner_text("#objects") == "green 1, red 1"
    assert page.inner_text("#live-status") == "Connected"
    page.locator("#rate", has_text="frames/s").wait_for()
    assert page.inner_text("#latency").endswith(" ms")
    assert drawn_pixels(page) > 1000
    page.click("#stop")
    assert page.evaluate("document.getElementById('video').srcObject") is None
    assert drawn_pixels(page) == 0
    assert page.inner_text("#rate") == "-"


def test_options_hold_for_the_next_frames(page: Any) -> None:
    start(page)
    slide(page, "score", 0.5)
    page.locator("#objects", has_text="red 1").filter(has_not_text="green").wait_for()
    slide(page, "score", 0.03)
    page.locator("#objects", has_text="blue 1").wait_for()
    page.select_option("#model", "rtl")
    page.locator("#objects", has_text="أحمر").wait_for()


def test_frames_are_as_large_as_chosen(page: Any) -> None:
    with page.expect_websocket() as socket:
        page.select_option("#side", "320")
        start(page)
    sent = socket.value.wait_for_event("framereceived")
    assert '"width":320,"height":240' in sent.replace(" ", "")


def test_lost_connection_is_opened_again(page: Any) -> None:
    sockets = list[Any]()

    def connect(socket: Any) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/ws/detect*", connect)
    start(page)
    sockets[0].close(code=1012)
    page.locator("#live-status", has_text="The connection is lost").wait_for()
    page.locator("#live-status", has_text="Connected").wait_for()
    page.locator("#objects", has_text="red 1").wait_for()
    assert len(sockets) == 2


def test_slow_server_gets_no_more_than_two_frames(page: Any) -> None:
    received = list[Any]()
    page.route_web_socket("**/ws/detect*", lambda socket: socket.on_message(lambda message: received.append(message)))
    page.locator("#model option").first.wait_for(state="attached")
    page.click("#start")
    page.locator("#live-status", has_text="Connected").wait_for()
    page.wait_for_timeout(1000)  # 30 frames of the camera
    assert len([message for message in received if isinstance(message, bytes)]) == 2


def test_other_tabs_end_the_camera(page: Any) -> None:
    start(page)
    page.click("#tab-compare")
    assert page.evaluate("document.getElementById('video').srcObject") is None
    page.click("#tab-live")
    assert page.inner_text("#live-status") == "Stopped"


def test_video_file_is_played_with_boxes(page: Any, video: Path) -> None:
    page.locator("#model option").first.wait_for(state="attached")
    page.set_input_files("#video-file", video)
    page.locator("#objects", has_text="green 1, red 1").wait_for()
    assert page.locator("#video").get_attribute("controls") is not None
    page.evaluate("document.getElementById('video').pause()")
    slide(page, "score", 0.5)  # a paused frame is detected again
    page.locator("#objects", has_text="red 1").filter(has_not_text="green").wait_for()


def test_video_file_can_be_dropped(page: Any, video: Path) -> None:
    page.locator("#model option").first.wait_for(state="attached")
    page.evaluate(
        """bytes => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], "video.webm", { type: "video/webm" }));
            const options = { bubbles: true, cancelable: true, dataTransfer };
            document.getElementById("screen").dispatchEvent(new DragEvent("drop", options));
        }""",
        list(video.read_bytes()),
    )
    page.locator("#objects", has_text="green 1, red 1").wait_for()
    assert page.locator("#problem").is_hidden()


def test_file_that_is_no_video_is_explained(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    page.set_input_files("#video-file", tmp_path / "notes.mp4")
    page.locator(
        "#live-problem", has_text="The browser cannot play notes.mp4. Expected MP4 (H.264) or WebM."
    ).wait_for()


@pytest.mark.parametrize(
    ("flags", "text"),
    [(CAMERA[:1], "The camera is not allowed for this page"), ((), "No camera was found")],
    ids=["denied", "none"],
)
def test_camera_that_does_not_start_is_explained(
    browser: Any, server: Server, flags: tuple[str, ...], text: str
) -> None:
    other = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    with opened(other, server) as page:
        page.click("#start")
        page.locator("#live-problem", has_text=text).wait_for()
        assert page.locator("#stop").is_disabled()
    other.close()


def test_key_is_sent_and_a_missing_one_asked_for(browser: Any, tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.json", "page", ("detect",))
    with toy_server(tmp_path, keys=tmp_path / "keys.json") as server, opened(browser, server) as page:
        page.click("#start")
        page.locator("#live-problem", has_text="API key").wait_for()
        page.fill("#key", token)
        page.click("#access button")
        start(page)
        assert page.inner_text("#objects") == "green 1, red 1"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tab_is_accessible(browser: Any, server: Server, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with opened(browser, server, **options) as page:
        assert audit(page) == []
        start(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert audit(page) == []
        page.screenshot(path=SCREENSHOTS / f"live-{scheme}-{width}.png", full_page=True)
