"""Orders: what a user asked for at once, drawn one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopipe_ui.client import ServerError
from autopipe_ui.orders import CancelledOrderError, Order, Progress

CAT = {"prompt": "a cat", "num_inference_steps": 3}


def test_results_come_in_order_with_seeds(server: Any, tmp_path: Path) -> None:
    async def run() -> list[Progress]:
        async with server.client() as client:
            requests = [{**CAT, "seed": 7, "images": 2}, {**CAT, "seed": 20}]
            return [one async for one in Order(client, requests, tmp_path).progress()]

    found = asyncio.run(run())
    results = [one for one in found if one.file is not None]
    assert [one.place for one in results] == [0, 0, 1]
    assert [one.seed for one in results] == [7, 8, 20]
    assert len({one.file for one in results}) == 3
    parts = [one.part for one in found]
    assert parts == sorted(parts)
    assert parts[-1] == 1
    assert any(one.preview for one in found)
    assert any(one.text.startswith("Step 3 of 3") for one in found)


def test_cancelling_ends_all_requests(server: Any, tmp_path: Path) -> None:
    before = server.studio.stats().cancelled
    many = [{**CAT, "num_inference_steps": 150, "seed": seed} for seed in range(5)]

    async def run() -> None:
        async with server.client() as client:
            order = Order(client, many, tmp_path)
            async for one in order.progress():
                if one.text.startswith("Step 1 "):
                    await order.cancel()

    with pytest.raises(CancelledOrderError):
        asyncio.run(run())
    stats = server.studio.stats()
    assert (stats.queued, stats.drawing) == (0, 0)
    assert 1 <= stats.cancelled - before <= 2  # Only those that were sent.


def test_an_order_that_nobody_follows_is_cancelled(server: Any, tmp_path: Path) -> None:
    before = server.studio.stats().cancelled

    async def run() -> None:
        async with server.client() as client:
            progress = Order(client, [{**CAT, "num_inference_steps": 150}], tmp_path).progress()
            async for one in progress:
                if one.text.startswith("Step 1 "):
                    break
            await progress.aclose()

    asyncio.run(run())
    assert server.studio.stats().cancelled == before + 1


def test_a_refused_request_cancels_the_rest(server: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with server.client() as client:
            requests = [CAT, {**CAT, "num_inference_steps": 151}]
            async for _ in Order(client, requests, tmp_path).progress():
                pass

    with pytest.raises(ServerError, match="at most 150"):
        asyncio.run(run())


def test_a_full_queue_is_waited_for(serve: Callable[..., Any], tmp_path: Path) -> None:
    async def run(server: Any) -> list[Progress]:
        async with server.client() as client:
            requests = [{**CAT, "seed": seed} for seed in range(4)]
            return [one async for one in Order(client, requests, tmp_path).progress()]

    with serve({"queue": 0}) as server:
        found = asyncio.run(run(server))
    assert [one.seed for one in found if one.file] == [0, 1, 2, 3]
