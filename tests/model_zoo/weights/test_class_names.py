from __future__ import annotations

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.class_names import read_class_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cup", "fork"], ("cup", "fork")),
        (("cup", "fork"), ("cup", "fork")),
        ([2146, 1.5, True, None], ("2146", "1.5", "True", "class3")),
        ([b"cup", " fork ", "a\tb\nc", ""], ("cup", "fork", "a b c", "class3")),
        (["tasse à café", "杯子", '5" pipe', "cup, glass"], ("tasse à café", "杯子", '5" pipe', "cup, glass")),
        (
            ["bell\x07", "zero\u200bwidth", "\u0645\u06cc\u200c\u062e"],
            ("bell", "zerowidth", "\u0645\u06cc\u200c\u062e"),
        ),
        (["cup", "cup"], ("cup", "cup")),
        ({0: "cup", 1: "fork"}, ("cup", "fork")),
        ({1: "fork", 0: "cup"}, ("cup", "fork")),
        ({1: "cup", 2: "fork"}, ("cup", "fork")),
        ({"0": "cup", "1": "fork"}, ("cup", "fork")),
        ({str(i): f"n{i}" for i in range(12)}, tuple(f"n{i}" for i in range(12))),
        ({0.0: "cup", 1.0: "fork"}, ("cup", "fork")),
        ({0: 2146, 1: 21008}, ("2146", "21008")),
        ({10: "cup", 90: "fork"}, ("cup", "fork")),
        ({"cup": 0, "fork": 1}, ("cup", "fork")),
        ({"fork": 1, "cup": 0}, ("cup", "fork")),
        ({"cup": "x"}, ()),
        ("cup", ()),
        (None, ()),
        ([], ()),
    ],
)
def test_names_are_read_in_the_order_of_the_classes(names: object, expected: tuple[str, ...]) -> None:
    assert read_class_names(names, len(expected)) == expected


def test_missing_keys_are_classes_without_a_name() -> None:
    assert read_class_names({0: "cup", 2: "fork"}, 4) == ("cup", "class1", "fork", "class3")
    assert read_class_names({1: "person", 3: "car"}, 5) == ("class0", "person", "class2", "car", "class4")


def test_long_names_are_refused() -> None:
    with pytest.raises(LineageError, match="at most 200 characters; class 1 has 300"):
        read_class_names(["cup", "x" * 300])


@pytest.mark.parametrize(
    "names",
    [
        np.array(["cat", "dog"]),
        np.array(["cat", "dog"], dtype=object),
        [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        {0: {"name": "cat"}, 1: {"name": "dog"}},
    ],
)
def test_names_in_arrays_and_categories_are_read(names: object) -> None:
    assert read_class_names(names, 2) == ("cat", "dog")
