"""The application under load: full queues, shared batches, deadlines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from model_zoo.contract.repository import Repository
from tests.images import striped_jpeg
from tests.service.app_client import check_problem, detect, png, serving, wait_until
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import GatedEngines, open_fake_engine


def test_full_inference_queue_is_refused_with_retry_after(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    settings = {"queue_size": 1, "max_files": 1, "workers": 1, "decoders": 1, "warm_up": False}
    with serving(repository, engines, **settings) as client, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(detect, client, png(flat(1)))]
        wait_until(lambda: engines.started)
        answers.append(pool.submit(detect, client, png(flat(2))))
        store = client.app_state["service"].store
        wait_until(lambda: next(iter(store._models.values()))._batcher.waiting)
        refused = detect(client, png(flat(3)))
        assert "1 images are already waiting" in check_problem(refused, 503, "Inference queue full")
        assert refused.headers["retry-after"] == "1"
        engines.gate.set()
        assert [answer.result().status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("exact", [False, True])
def test_large_jpeg_is_decoded_reduced_unless_the_setting_forbids_it(
    repository: Repository, publish: Publish, exact: bool
) -> None:
    """At full size, each pixel of the canvas mixes only the central two of eight columns of the file."""
    publish()
    with serving(repository, open_fake_engine, exact_decode=exact) as client:
        document = detect(client, striped_jpeg(512)).json()
    (result,) = document["results"]
    assert result["image"] == {"width": 512, "height": 512}
    left = result["detections"][0]["box"][0]  # the mean red of the canvas, eight times as far in the image
    assert left == pytest.approx(8 * (56 if exact else 14), abs=4)


def test_many_concurrent_requests_get_200_or_503(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    settings = {"queue_size": 1, "max_files": 1, "workers": 1, "warm_up": False}
    with serving(repository, engines, **settings) as client, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(detect, client, png(flat(n))) for n in range(8)]
        wait_until(lambda: sum(answer.done() for answer in answers) == 6)  # one runs, one waits
        engines.gate.set()
        assert sorted(answer.result().status_code for answer in answers) == [200, 200, *[503] * 6]


def test_requests_during_a_run_share_the_next_batch(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, max_batch=32, warm_up=False) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(detect, client, png(flat(1)), score=0.5)
        wait_until(lambda: engines.started)
        requests = {(6 * n, n / 10) for n in range(2, 10)}
        others = {(red, score): pool.submit(detect, client, png(flat(red)), score=score) for red, score in requests}
        store = client.app_state["service"].store
        wait_until(lambda: next(iter(store._models.values()))._batcher.waiting == 8)
        engines.gate.set()
        assert first.result().status_code == 200
        for (red, score), answer in others.items():
            (detection,) = answer.result().json()["results"][0]["detections"]
            assert (detection["box"][0], detection["score"]) == (red, pytest.approx(score))
        assert engines.batches == [1, 8]


def test_late_request_is_answered_504_and_does_not_run(repository: Repository, publish: Publish) -> None:
    publish()
    engines = GatedEngines()
    with serving(repository, engines, timeout=0.3, workers=1) as client, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(detect, client, png(flat(n))) for n in (1, 2)]
        for answer in answers:
            check_problem(answer.result(), 504, "Deadline exceeded")
        engines.gate.set()
        assert detect(client, png(flat(3))).status_code == 200
        assert engines.batches == [1, 1], "the request that waited did not run"
