"""A studio that draws nothing, and servers around it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from fastapi.testclient import TestClient

from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe_requests.request import Checkpoint, Request
from autopipe_serve.app import create_app
from autopipe_serve.names import Names
from autopipe_serve.server import serving
from autopipe_serve.settings import Settings
from autopipe_serve.studio import Event, Stats, Ticket

PATH = "/secret/models/painter-v1"
REQUEST = Request(checkpoint=Checkpoint(name=PATH), seed=1, arguments={"prompt": "a secret"})


class IdleStudio:
    """Takes requests and leaves it to the test what becomes of them."""

    def __init__(self) -> None:
        self.kept: dict[str, Ticket] = {}
        self.given: list[Mapping[str, Any]] = []
        self.files: list[list[str]] = []
        self.cancelled: list[str] = []
        self.closed: list[float] = []
        self.refusal: Exception | None = None
        self.names = Names(Settings(folder=Path(), models={"painter": PATH}), default_registry())

    def complete(self, given: Mapping[str, Any], folder: Path | None = None) -> Request:
        if "prompt" not in given:
            raise ArgumentError("prompt is missing; give it")
        self.given.append(given)
        self.files.append(sorted(one.name for one in folder.iterdir()) if folder else [])
        return REQUEST.with_seed(given.get("seed", 7))

    def submit(self, requests: Any, owner: str) -> Ticket:
        if self.refusal is not None:
            raise self.refusal
        ticket = Ticket(f"{len(self.kept):032x}", owner, tuple(requests), stop=self.stop)
        ticket.tell(Event("state", "queued"))
        self.kept[ticket.id] = ticket
        return ticket

    def stop(self, ticket: Ticket) -> bool:
        self.cancelled.append(ticket.id)
        was = not ticket.is_over
        ticket.tell(Event("state", "cancelled"))
        return was

    def ticket(self, id: str) -> Ticket | None:
        return self.kept.get(id)

    def stats(self) -> Stats:
        return Stats(1, 2, 3, 4, 5, 6, 7, {"painter": 1000})

    def close(self, seconds: float = 30) -> None:
        self.closed.append(seconds)


@pytest.fixture
def studio() -> IdleStudio:
    return IdleStudio()


@pytest.fixture
def client(studio: IdleStudio, tmp_path: Path) -> Callable[..., Any]:
    """Return a context manager of a client of a server with these settings."""

    def made(**settings: Any) -> Any:
        app = create_app(Settings(folder=tmp_path, **settings), studio)  # type: ignore[arg-type]
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return made


@pytest.fixture
def port(studio: IdleStudio, tmp_path: Path) -> Iterator[int]:
    """The port of a real server with low limits."""
    limits = {"body": 1 << 20, "upload": 256 * 256, "images": 4}
    settings = Settings(folder=tmp_path, limits=limits)  # type: ignore[arg-type]
    with serving(create_app(settings, studio)) as found:  # type: ignore[arg-type]
        yield found


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Return a function that writes a picture."""

    def written(
        format: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", **how: Any
    ) -> bytes:
        file = io.BytesIO()
        PIL.Image.new(mode, size, 128 if mode == "L" else None).save(file, format, **how)
        return file.getvalue()

    return written
