"""A server in this process, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autopipe_serve.app import create_app
from autopipe_serve.server import serving
from autopipe_serve.settings import Limits, Settings
from autopipe_serve.studio import Studio
from autopipe_ui.client import Client

KEY = "a key of twenty letters"[:16]


class Serving:
    """A server.

    Attributes:
        address: its address.
        studio: what draws.
    """

    def __init__(self, address: str, studio: Studio) -> None:
        self.address, self.studio = address, studio

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[Client]:
        made = Client(self.address, key)
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A context manager with a server of the demo."""
    from contextlib import contextmanager

    @contextmanager
    def make(limits: dict[str, Any] | None = None, **given: Any) -> Iterator[Serving]:
        folder = tmp_path_factory.mktemp("results")
        app = create_app(Settings(folder=folder, limits=Limits(**(limits or {})), **given))
        with serving(app) as port:
            yield Serving(f"http://127.0.0.1:{port}", app.state.studio)

    return make


@pytest.fixture(scope="session")
def server(serve: Callable[..., Any]) -> Iterator[Serving]:
    with serve() as made:
        yield made
