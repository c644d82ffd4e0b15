"""The pipeline around a fake graph: inputs, outputs and canvases."""

from __future__ import annotations

import platform
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.contract import letterbox, pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ImageError, ImageTooLarge, QueryError
from model_zoo.contract.images import ImageLimits, decode_image, decode_parsed
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from tests.images import damaged_jpeg, encode, exif, gradient_image, with_exif
from tests.malformed_images import MalformedFile, malformed_files

SQUARE = ModelCard("square", "yolov5", "yolov5n", tuple("abcdefghij"), (640, 640), 32, candidates=400)


class FakeRun:
    """A graph that always returns the same rows and records its inputs."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.asarray(rows, np.float32).reshape(-1, 6)
        self.feeds: pipeline.Feeds = {}

    def __call__(self, feeds: pipeline.Feeds) -> tuple[np.ndarray, np.ndarray]:
        self.feeds = feeds
        batch, count = len(feeds["images"]), len(self.rows)
        padded = np.zeros((batch, count + 5, 6), np.float32)
        padded[:, :count] = self.rows
        return padded, np.full(batch, count, np.int32)


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_boxes_are_in_pixels_of_their_image() -> None:
    run = FakeRun([[0, 80, 640, 560, 0.9, 3], [320, 320, 640, 400, 0.8, 1]])
    wide, tall = pipeline.detect(
        SQUARE, run, [random_image(480, 640), random_image(1280, 960)], pipeline.make_query(SQUARE)
    )
    np.testing.assert_allclose(wide.boxes, [[0, 0, 640, 480], [320, 240, 640, 320]])
    np.testing.assert_allclose(tall.boxes, [[0, 160, 960, 1120], [480, 640, 960, 800]])
    assert wide.scores.tolist() == pytest.approx([0.9, 0.8])
    assert wide.class_ids.tolist() == [3, 1]
    assert (wide.boxes.dtype, wide.scores.dtype, wide.class_ids.dtype) == (np.float32, np.float32, np.int64)


def test_feeds_follow_the_contract() -> None:
    run = FakeRun([])
    image = random_image(480, 640)
    query = pipeline.make_query(SQUARE, score=0.3, iou=0.6, distance_weight=0)
    found = pipeline.detect(SQUARE, run, [image, image], query)
    assert [len(d) for d in found] == [0, 0]
    assert {name: (a.dtype, a.shape) for name, a in run.feeds.items()} == {
        "images": (np.uint8, (2, 640, 640, 3)),
        "score_threshold": (np.float32, (2,)),
        "iou_threshold": (np.float32, (2,)),
        "distance_weight": (np.float32, (2,)),
    }
    assert (run.feeds["images"][0, :80] == 114).all()
    np.testing.assert_array_equal(run.feeds["images"][1, 80:560], image)
    assert run.feeds["score_threshold"].tolist() == pytest.approx([0.3, 0.3])


def test_thresholds_are_per_image() -> None:
    items = [pipeline.preprocess(SQUARE, random_image(64, 64))] * 2
    queries = [pipeline.make_query(SQUARE, score=0.1), pipeline.make_query(SQUARE, iou=0.9, distance_weight=0.0)]
    feeds = pipeline.collate(items, queries)
    assert feeds["score_threshold"].tolist() == pytest.approx([0.1, 0.25])
    assert feeds["iou_threshold"].tolist() == pytest.approx([0.45, 0.9])
    assert feeds["distance_weight"].tolist() == [1.0, 0.0]


def test_class_filter_applies_before_max_detections() -> None:
    run = FakeRun([[0, 0, 9, 9, 0.9 - 0.1 * i, i % 3] for i in range(8)])
    query = pipeline.make_query(SQUARE, classes=["b", 2], max_detections=3)
    (found,) = pipeline.detect(SQUARE, run, [random_image(64, 64)], query)
    assert found.class_ids.tolist() == [1, 2, 1]
    assert found.scores.tolist() == pytest.approx([0.8, 0.7, 0.5])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("size", "kind"), [((480, 1278), "JPEG"), ((480, 640), "JPEG"), ((720, 1280), "PNG")])
def test_files_that_need_no_reduction_are_read_as_decoded_images(size: Size, kind: str, exact: bool) -> None:
    data = encode(gradient_image(*size), kind)
    expected = pipeline.preprocess(SQUARE, decode_image(data), (480, 640))
    actual = pipeline.read_input(SQUARE, data, [(640, 640), (480, 640)], exact=exact)
    assert actual.geometry == expected.geometry
    np.testing.assert_array_equal(actual.pixels, expected.pixels)


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("policy", [LetterboxPolicy(), LetterboxPolicy(align="stretch")], ids=["center", "stretch"])
def test_large_jpeg_is_placed_at_its_true_size_but_decoded_reduced(orientation: int, policy: LetterboxPolicy) -> None:
    card, image = replace(SQUARE, input_size=(160, 160), letterbox=policy), gradient_image(12, 16)
    data = with_exif(encode(image.resize((1003, 751)), "JPEG"), exif(orientation))
    reduced, exact = (pipeline.read_input(card, data, exact=exact) for exact in (False, True))
    assert reduced.geometry == exact.geometry
    assert exact.geometry.image == ((751, 1003) if orientation == 1 else (1003, 751))
    np.testing.assert_array_equal(exact.pixels, pipeline.preprocess(card, decode_image(data)).pixels)
    assert not np.array_equal(reduced.pixels, exact.pixels)
    difference = np.abs(reduced.pixels.astype(int) - exact.pixels)
    assert difference.mean() < 1  # the slope is about 2 per pixel
    assert difference.max() <= 8


def test_only_what_the_canvas_needs_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Size | None] = []
    monkeypatch.setattr(
        pipeline,
        "decode_parsed",
        lambda encoded, warn, min_size: decoded.append(min_size) or decode_parsed(encoded, warn, min_size),
    )
    data = with_exif(encode(gradient_image(720, 1280), "JPEG"), exif(6))
    for exact in (False, True):
        pipeline.read_input(SQUARE, data, exact=exact)
    assert decoded == [(640, 360), None]


@pytest.mark.parametrize("file", [file for file in malformed_files() if file.refused], ids=lambda file: file.name)
def test_malformed_files_are_refused_when_read(file: MalformedFile) -> None:
    with pytest.raises(ImageError, match=r"expected .*; got .*; "):
        pipeline.read_input(SQUARE, file.data)


def test_reading_passes_limits_and_warnings_on() -> None:
    with pytest.raises(ImageTooLarge):
        pipeline.read_input(SQUARE, encode(gradient_image(), "JPEG"), limits=ImageLimits(max_pixels=99))
    warnings: list[str] = []
    pipeline.read_input(SQUARE, damaged_jpeg(), warn=warnings.append)
    assert bool(warnings) == (platform.libc_ver()[0] == "glibc")


def test_results_are_copies_of_the_engine_buffers() -> None:
    rows = np.asarray([[0, 0, 9, 9, 0.9, 1]], np.float32)
    geometry = letterbox.plan(SQUARE.letterbox, (64, 64), (64, 64))
    found = pipeline.postprocess(rows, 1, geometry, pipeline.make_query(SQUARE))
    rows[:] = 0
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.boxes.tolist() == [[0, 0, 9, 9]]
    assert found.class_ids.tolist() == [1]


def test_query_defaults_come_from_the_card(card: ModelCard) -> None:
    query = pipeline.make_query(card)
    assert query == pipeline.Query(0.25, 0.45, 1.0, None, 100)
    assert pipeline.make_query(card, max_detections=500).max_detections == 500


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ({"score": 0.0}, "score: expected a number from 0.001 to 1; got 0"),
        ({"score": 1.1}, "score: expected a number from 0.001 to 1; got 1.1"),
        ({"score": float("nan")}, "score: expected a number from 0.001 to 1; got nan"),
        ({"score": "0.5"}, "score: expected a number from 0.001 to 1; got '0.5'"),
        ({"iou": [0.5]}, "iou: expected a number from 0 to 1; got [0.5]"),
        ({"iou": -0.1}, "iou: expected a number from 0 to 1; got -0.1"),
        ({"distance_weight": 2.0}, "distance_weight: expected a number from 0 to 1; got 2"),
        ({"max_detections": 0}, "max_detections: expected a number from 1 to 500; got 0"),
        ({"max_detections": 501}, "max_detections: expected a number from 1 to 500; got 501"),
        ({"classes": ["cat"]}, "has no class 'cat'; expected a label or an index of: person, bicycle"),
        ({"classes": [4]}, "has no class 4"),
        ({"classes": [-1]}, "has no class -1"),
        ({"classes": ["9" * 5000]}, "has no class '999"),
    ],
)
def test_query_outside_the_bounds_is_refused(card: ModelCard, requested: dict[str, object], expected: str) -> None:
    with pytest.raises(QueryError) as caught:
        pipeline.make_query(card, **requested)
    assert expected in str(caught.value)


def test_classes_are_given_by_label_or_index(card: ModelCard) -> None:
    assert pipeline.make_query(card, classes=["bicycle", "0", 2]).class_ids == {0, 1, 2}
    assert pipeline.make_query(card, classes=["7"]).class_ids == {3}, "a label takes precedence over an index"
    assert pipeline.make_query(card, classes=[]).class_ids == frozenset()


def test_canvases_are_square_wide_and_tall() -> None:
    assert pipeline.canvases(SQUARE) == [(640, 640), (480, 640), (384, 640), (640, 480), (640, 384)]


def test_all_canvases_are_what_removing_the_border_can_leave() -> None:
    small = replace(SQUARE, input_size=(64, 96))
    assert pipeline.canvases(small, few=False) == [(64, 96), (32, 96), (64, 64), (64, 32)]
    assert len(pipeline.canvases(SQUARE, few=False)) == 39


@pytest.mark.parametrize("change", [{"dynamic_size": False}, {"letterbox": LetterboxPolicy(align="stretch")}])
def test_fixed_or_stretched_model_has_one_canvas(change: dict[str, object]) -> None:
    fixed = replace(SQUARE, **change)
    assert pipeline.canvases(fixed) == pipeline.canvases(fixed, few=False) == [(640, 640)]
    assert pipeline.choose_canvas(fixed, (1080, 1920), pipeline.canvases(fixed)) == (640, 640)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ((1000, 1000), (640, 640)),
        ((480, 640), (480, 640)),
        ((1201, 1600), (480, 640)),  # 480.4 pixels are rounded to 480
        ((1080, 1920), (384, 640)),
        ((500, 2000), (384, 640)),
        ((1920, 1080), (640, 384)),
        ((640, 427), (640, 480)),
        ((700, 640), (640, 640)),
    ],
)
def test_smallest_fitting_canvas_is_chosen(image: Size, expected: Size) -> None:
    assert pipeline.choose_canvas(SQUARE, image, pipeline.canvases(SQUARE)) == expected


def test_input_size_is_used_without_a_fitting_canvas() -> None:
    assert pipeline.choose_canvas(SQUARE, (1920, 1080), [(384, 640)]) == (640, 640)


sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
cards = st.builds(
    replace,
    st.just(SQUARE),
    input_size=st.sampled_from([(640, 640), (320, 640), (640, 320), (416, 416)]),
    letterbox=st.builds(
        LetterboxPolicy,
        align=st.sampled_from(["center", "top_left"]),
        rounding=st.sampled_from(["round", "floor"]),
        scale_up=st.booleans(),
    ),
)


@given(cards, sizes, st.booleans())
def test_image_size_does_not_depend_on_the_canvas(card: ModelCard, image: Size, few: bool) -> None:
    canvas = pipeline.choose_canvas(card, image, pipeline.canvases(card, few=few))
    chosen, default = (letterbox.plan(card.letterbox, image, c, card.input_size) for c in (canvas, card.input_size))
    assert (chosen.resized, chosen.scale) == (default.resized, default.scale)
    assert canvas[0] * canvas[1] <= card.input_size[0] * card.input_size[1]
    assert canvas[0] % card.stride == canvas[1] % card.stride == 0


@given(cards, sizes)
def test_canvas_is_that_of_the_original_programs(card: ModelCard, image: Size) -> None:
    card = replace(card, letterbox=replace(card.letterbox, scale_up=True))
    canvas = pipeline.choose_canvas(card, image, pipeline.canvases(card, few=False))
    assert canvas == letterbox.smallest_canvas(card.letterbox, image, card.input_size, card.stride)
