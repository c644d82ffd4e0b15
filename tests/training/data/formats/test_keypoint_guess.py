"""Keypoints that no description declares are distinguished from polygons and oriented boxes."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.formats.keypoint_guess import KeypointGuess


def guess(lines: list[str]) -> int:
    collected = KeypointGuess()
    for line in lines:
        collected.add(line)
    return collected.keypoints


def line(*numbers: float) -> str:
    return " ".join(["0", *(f"{number:.6f}" for number in numbers)])


def random_pose(rng: np.random.Generator, keypoints: int) -> str:
    """Return a box with labeled and unlabeled (0, 0) keypoints."""
    size = rng.uniform(0.05, 0.3, 2)
    center = rng.uniform(size / 2, 1 - size / 2)
    points = center + rng.uniform(-0.5, 0.5, (keypoints, 2)) * size
    points[rng.random(keypoints) < 0.2] = 0
    return line(*center, *size, *points.ravel())


def random_polygon(rng: np.random.Generator, points: int) -> str:
    """Return a star-shaped polygon inside the image."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radii = rng.uniform(0.3, 1, points) * rng.uniform(0.02, 0.25)
    corners = rng.uniform(0.25, 0.75, 2) + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return line(*corners.ravel())


@pytest.mark.parametrize("keypoints", [1, 2, 4, 5, 17])
def test_keypoints_are_recognized(keypoints: int) -> None:
    rng = np.random.default_rng(keypoints)
    assert guess([random_pose(rng, keypoints) for _ in range(8)]) == keypoints


@pytest.mark.parametrize("points", [3, 4, 5, 8, 20])
def test_polygons_of_equal_length_are_not_keypoints(points: int) -> None:
    rng = np.random.default_rng(points)
    assert sum(guess([random_polygon(rng, points) for _ in range(8)]) > 0 for _ in range(100)) == 0


def test_oriented_boxes_are_not_keypoints() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        center, half, angle = rng.uniform(0.4, 0.6, 2), rng.uniform(0.02, 0.2, 2), rng.uniform(0, np.pi)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert guess([line(*(center + corners @ turn.T).ravel())]) == 0


def test_plain_and_mixed_labels_are_not_keypoints() -> None:
    rng = np.random.default_rng(0)
    assert guess(["0 0.5 0.5 0.2 0.2", ""]) == 0
    assert guess([random_pose(rng, 4), random_pose(rng, 5)]) == 0
