"""The link of a front end to its parent. test_processes.py runs both."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.deploy.front_end import COLLECT, SCRAPE, ParentLink
from service.settings import Settings
from service.telemetry.merged import Merged


async def started(parent: Any, repository: Path) -> ParentLink:
    """Return the link of an application that has started."""
    app = create_app(Settings(repository=repository))
    async with app.router.lifespan_context(app) as state:
        link = ParentLink(parent)
        await link.start(state["service"])
        return link


def test_metrics_go_to_the_parent_and_come_back_merged(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()

    async def talk() -> list[Any]:
        link = await started(theirs, tmp_path)
        scrapes = [asyncio.create_task(link.scrape()) for _ in range(2)]
        assert await asyncio.to_thread(ours.recv_bytes) == SCRAPE
        ours.send_bytes(COLLECT)
        families = json.loads(await asyncio.to_thread(ours.recv_bytes))
        assert "lineage_requests" in {family["name"] for family in families}
        ours.send_bytes(json.dumps(families[:1]).encode())
        merged: list[Merged] = await asyncio.gather(*scrapes)
        return [metric for one in merged for metric in one.collect()]

    with ours, theirs:
        assert [metric.name for metric in asyncio.run(talk())] == ["lineage_requests"] * 2


def test_the_end_of_the_parent_is_a_sigterm(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()

    async def orphan() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await started(theirs, tmp_path)
        ours.close()
        async with asyncio.timeout(10):
            await ended.wait()

    with theirs:
        asyncio.run(orphan())


@pytest.fixture(autouse=True)
def _keep_signal_handler() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
