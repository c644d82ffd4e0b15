from __future__ import annotations

import pytest

from training.report.text import plot_label, shorten


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("7", "7"),
        ("two\nlines\t here", "two lines here"),
        ("x" * 28, "x" * 28),
        ("a" * 50 + "z" * 50, "a" * 13 + "\N{HORIZONTAL ELLIPSIS}" + "z" * 14),
    ],
)
def test_long_names_are_shortened_in_the_middle(name: str, expected: str) -> None:
    assert shorten(name) == expected
    assert len(shorten(name)) <= 28


def test_plot_label_does_not_begin_with_an_underscore() -> None:
    assert plot_label("_hidden") == " _hidden"
    assert plot_label(" ") == " "
    assert plot_label("$x_1$") == "$x_1$"
