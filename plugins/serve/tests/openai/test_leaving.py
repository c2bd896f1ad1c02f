"""Clients that go away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI


@pytest.mark.parametrize("stream", [False, True])
def test_what_nobody_waits_for_is_cancelled(
    serve: Callable[..., Any], waited_for: Any, caplog: Any, stream: bool
) -> None:
    caplog.set_level(logging.INFO)
    served = serve()
    served.studio.going.clear()

    async def leave() -> None:
        async with AsyncOpenAI(base_url=f"{served.address}/v1", api_key="any") as client:
            asking = asyncio.ensure_future(client.images.generate(prompt="a square", stream=stream))
            while not served.studio.drawn:
                await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.wait({asking})

    asyncio.run(leave())
    assert waited_for(lambda: served.studio.tickets[0].is_over)
    assert served.studio.tickets[0].state == "cancelled"
    assert waited_for(lambda: "status=499" in caplog.text)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_stream_that_is_closed_is_cancelled(serve: Callable[..., Any], waited_for: Any) -> None:
    served = serve()
    stream = served.client().images.generate(prompt="squares", n=10, stream=True, partial_images=1)
    assert next(stream).type == "image_generation.partial_image"
    stream.close()
    assert waited_for(lambda: served.studio.tickets[0].is_over)
    assert served.studio.tickets[0].state == "cancelled"
    assert served.studio.drawn < 10
