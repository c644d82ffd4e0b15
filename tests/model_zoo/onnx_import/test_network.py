from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.onnx_import.network import Network, literal
from tests.model_zoo.onnx_import.foreign_files import SIZE, Net, dynamic, v8
from tests.model_zoo.onnx_import.hostile_files import input_of


def test_size_is_declared_given_or_in_the_metadata() -> None:
    assert (Network(v8()).format.size, Network(v8()).format.dynamic_size) == (SIZE, False)
    assert Network(v8(dynamic()), [320]).format.size == (320, 320)
    assert Network(v8(dynamic(), {"imgsz": "[96, 128]"})).format.size == (96, 128)
    assert Network(v8(dynamic())).format.size == (640, 640)


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_another_size_than_a_fixed_one_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LineageError, match="--image-size: expected 96 x 64, the fixed size"):
        Network(v8(), size)


def test_size_must_be_a_multiple_of_the_stride() -> None:
    with pytest.raises(LineageError, match="in multiples of the stride, 64; got 96 x 96: give --image-size"):
        Network(v8(dynamic(), {"stride": "64"}), [96])
    assert Network(input_of([1, 3, 60, 100])).format.stride == 4


@pytest.mark.parametrize(("stride", "used"), [("1", 1), ("[8, 16, 32]", 32), ("256", 256), ("True", 32), ("-8", 32)])
def test_other_size_is_small_for_every_stride(stride: str, used: int) -> None:
    network = Network(v8(dynamic(), {"imgsz": "256", "stride": stride}))
    assert network.format.stride == used
    assert all(side % used == 0 and 256 <= side <= 768 for side in network.format.other_size)


def test_dimensions_that_constants_fix_are_not_dynamic() -> None:
    net = dynamic()
    value = net.add("Reshape", net.add("ReduceMean", "images", axes=[1], keepdims=1), np.asarray([1, *SIZE]))
    network = Network(net.model({"output0": value}), SIZE)
    notes = network.limit(network.run_each(synthetic_images(SIZE, 2)))
    assert (network.format.dynamic_batch, network.format.dynamic_size) == (False, False)
    assert [note.split(":")[0] for note in notes] == ["fixed size", "batch 1"]


def test_dynamic_dimensions_stay_dynamic() -> None:
    network = Network(v8(dynamic()), SIZE)
    assert network.limit(network.run_each(synthetic_images(SIZE, 2))) == []
    assert network.format.dynamic_batch
    assert network.format.dynamic_size


def test_batch_that_mixes_its_images_is_not_dynamic() -> None:
    net = Net(("batch", 3, *SIZE))
    value = net.add("Sub", "images", net.add("ReduceMean", "images", axes=[0], keepdims=1))
    network = Network(net.model({"output0": value}))
    assert network.limit(network.run_each(synthetic_images(SIZE, 2)))[0].startswith("batch 1: ")


def test_file_that_cannot_be_run_is_an_error_of_the_user() -> None:
    net = dynamic()
    network = Network(net.model({"output0": net.add("Reshape", "images", np.asarray([1, 3, *SIZE]))}), SIZE)
    with pytest.raises(LineageError, match="cannot be run on 1 images of 64 x 64"):
        network.run(synthetic_images((64, 64), 1))


@pytest.mark.parametrize(
    ("text", "value"),
    [("{0: 'a'}", {0: "a"}), ("[1, 2]", [1, 2]), ("", None), ("__import__('os')", None), ("[" * 5000, None)],
)
def test_metadata_are_literals(text: str, value: object) -> None:
    assert literal({"key": text}, "key") == value
    assert literal({"key": " " * 2_000_000 + "1"}, "key") is None
