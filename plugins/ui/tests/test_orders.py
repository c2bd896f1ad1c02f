"""Orders: what a user asked for at once, drawn one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopipe_ui.client import ServerError, Upload
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
    for _ in range(600):  # It ends with its step.
        if server.studio.stats().cancelled > before:
            break
        time.sleep(0.05)
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


class Elsewhere:
    """A server that names things as it likes."""

    async def submit(self, given: Any) -> dict[str, Any]:
        return {"id": "../../outside", "images": [{"seed": 1}]}

    async def events(self, id: str) -> Any:
        for state in ("drawing", "done"):
            result = {"result": "/a"} if state == "drawing" else {}
            yield {"state": state, "image": 0, "step": 1, "steps": 1, **result}

    async def result(self, path: str, folder: Path) -> Path:
        (folder / "a.png").write_bytes(b"a")
        return folder / "a.png"

    async def cancel(self, id: str) -> None:
        pass

    async def upload(self, content: bytes, kind: str) -> dict[str, str]:
        return {"upload": kind}


def test_ids_of_a_server_name_no_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)

    async def run() -> list[Progress]:
        client: Any = Elsewhere()
        return [one async for one in Order(client, [CAT], folder).progress()]

    (file,) = [one.file for one in asyncio.run(run()) if one.file]
    assert file.resolve().is_relative_to(folder)
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_files_are_uploaded_once(tmp_path: Path) -> None:
    uploads: list[bytes] = []
    given: list[Any] = []

    class Counting(Elsewhere):
        async def upload(self, content: bytes, kind: str) -> dict[str, str]:
            uploads.append(content)
            return {"upload": kind}

        async def submit(self, request: Any) -> dict[str, Any]:
            given.append(request["image"])
            return await super().submit(request)

    async def run() -> None:
        client: Any = Counting()
        image = Upload(b"a picture", "image")
        requests = [{**CAT, "image": image, "seed": seed} for seed in range(3)]
        async for _ in Order(client, requests, tmp_path).progress():
            pass

    asyncio.run(run())
    assert uploads == [b"a picture"]
    assert given == [{"upload": "image"}] * 3


def test_an_order_that_is_cancelled_while_it_uploads_is_not_sent(tmp_path: Path) -> None:
    sent: list[Any] = []

    class Slow(Elsewhere):
        async def upload(self, content: bytes, kind: str) -> dict[str, str]:
            await order.cancel()
            return {"upload": kind}

        async def submit(self, given: Any) -> dict[str, Any]:
            sent.append(given)
            return await super().submit(given)

    client: Any = Slow()
    order = Order(client, [{**CAT, "image": Upload(b"a picture", "image")}], tmp_path)

    async def run() -> None:
        async for _ in order.progress():
            pass

    with pytest.raises(CancelledOrderError):
        asyncio.run(run())
    assert sent == []
