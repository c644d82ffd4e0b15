"""Classes of errors, and their texts."""

from __future__ import annotations

import pickle

import pytest

from lineage.client.errors import (
    PREFIX,
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ImageError,
    InvalidRequest,
    ModelNotFound,
    ServerError,
    Unavailable,
    UnexpectedAnswer,
    from_problem,
)
from service.api.problems import STATUS_BY_ERROR, slug

CLASSES = {
    "bad-request": InvalidRequest,
    "unauthorized": AccessDenied,
    "forbidden": AccessDenied,
    "no-such-model": ModelNotFound,
    "image-too-large": ImageError,
    "unsupported-image": ImageError,
    "image-unreadable": ImageError,
    "body-too-large": InvalidRequest,
    "query-out-of-range": InvalidRequest,
    "rate-limit-reached": Unavailable,
    "wait-too-long": Unavailable,
    "not-ready": Unavailable,
    "deadline-exceeded": DeadlineExceeded,
    "internal-error": ServerError,
}


@pytest.mark.parametrize(("kind", "expected"), CLASSES.items(), ids=CLASSES)
def test_errors_of_the_server_have_classes(kind: str, expected: type[ClientError]) -> None:
    [(status, title)] = {entry for entry in STATUS_BY_ERROR.values() if slug(entry[1]) == kind}
    error = from_problem(status, {"type": PREFIX + kind, "title": title, "status": status, "detail": "why"})
    assert type(error) is expected
    assert str(error) == f"{title}: why (status {status})"


def test_no_error_of_the_server_is_an_unexpected_answer() -> None:
    classes = {type(from_problem(status, {"type": PREFIX + slug(title)})) for status, title in STATUS_BY_ERROR.values()}
    assert UnexpectedAnswer not in classes
    assert ClientError not in classes


@pytest.mark.parametrize("status", [302, 418, 499, 599])
def test_other_statuses_and_bodies_are_errors_too(status: int) -> None:
    assert from_problem(status, {"error": "x"}).status == status


def test_time_errors_are_caught_as_such() -> None:
    with pytest.raises(TimeoutError, match="no answer"):
        raise DeadlineExceeded("no answer")


def test_errors_pass_between_processes() -> None:
    error = from_problem(503, {"detail": "busy", "request_id": "a"}, 2.0)
    error.tries = 3
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (Unavailable, vars(error), str(error))
