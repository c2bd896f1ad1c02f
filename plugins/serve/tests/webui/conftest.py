"""A server on a port of the loopback, with a studio that paints in one color, or the real one."""

from __future__ import annotations

import base64
import io
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import webuiapi
from PIL import Image

from autopipe.registry import default_registry
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Checkpoint, Request, Scheduler
from autopipe_requests.writing import write
from autopipe_serve.app import create_app
from autopipe_serve.loras import Lora
from autopipe_serve.names import Names
from autopipe_serve.server import serving
from autopipe_serve.settings import Settings
from autopipe_serve.studio import BusyError, Event, Ticket

PAINT = (0, 200, 0)
MODELS = {"red.safetensors": "/secret/red", "blue": "/b"}


class PaintingStudio:
    """Paints each image in one color, and remembers what it was given.

    Attributes:
        given: what requests were completed from.
        pictures: the images and masks that came with them.
        tickets: what was submitted.
        held: while it is set, an image stops after its first step, until it is cancelled.
        full: whether the queue is full.
        error: what tickets fail with, or None.
    """

    def __init__(self, folder: Path) -> None:
        self.registry = default_registry()
        self.names = Names(Settings(folder=folder, models=MODELS), self.registry)
        self.folder = folder
        self.given: list[dict[str, Any]] = []
        self.pictures: list[dict[str, Image.Image]] = []
        self.tickets: list[Ticket] = []
        self.held = threading.Event()
        self.full, self.error = False, None
        self.threads: list[threading.Thread] = []

    def loras(self) -> tuple[Lora, ...]:
        return (Lora("ink", Path("/secret/ink.safetensors"), 1, 1),)

    def complete(self, given: Mapping[str, Any], folder: Path | None = None) -> Request:
        self.given.append(dict(given))
        files = {name: given[name] for name in ("image", "mask") if name in given}
        self.pictures.append({})
        for name, file in files.items():
            assert folder is not None
            with Image.open(folder / file) as opened:
                self.pictures[-1][name] = opened.copy()
        names = ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "clip_skip")
        return Request(
            checkpoint=Checkpoint(name=given.get("model", "red")),
            task=given["task"],
            arguments={name: given[name] for name in (*names, "strength") if name in given},
            size=tuple(given["size"]),
            seed=given["seed"],
            scheduler=Scheduler(**given["scheduler"]) if "scheduler" in given else None,
        )

    def submit(self, requests: Sequence[Request], owner: str) -> Ticket:
        if self.full:
            raise BusyError("64 requests are waiting; try again in 7 seconds", 7)
        stopped = threading.Event()

        def stop(ticket: Ticket) -> bool:
            stopped.set()
            return not ticket.is_over

        ticket = Ticket(secrets.token_hex(16), owner, tuple(requests), stop=stop)
        self.tickets.append(ticket)
        thread = threading.Thread(target=self._paint, args=(ticket, stopped))
        self.threads.append(thread)
        thread.start()
        return ticket

    def close(self, seconds: float = 30) -> None:
        self.held.clear()
        for thread in self.threads:
            thread.join()

    def _paint(self, ticket: Ticket, stopped: threading.Event) -> None:
        ticket.tell(Event("state", "drawing"))
        if self.error is not None:
            ticket.error = self.error
            ticket.tell(Event("state", "failed"))
            return
        for number, request in enumerate(ticket.requests):
            ticket.progress = (number + 0.5) / len(ticket.requests)
            ticket.tell(Event("step", "drawing", image=number, step=1, steps=2))
            preview = io.BytesIO()
            Image.new("RGB", (8, 8), PAINT).save(preview, "PNG")
            shown = preview.getvalue()
            ticket.tell(Event("preview", "drawing", image=number, preview=shown))
            while self.held.is_set() and not stopped.is_set():
                time.sleep(0.005)
            if stopped.is_set():
                ticket.tell(Event("state", "cancelled"))
                return
            self._write(ticket, request)
        ticket.progress = 1.0
        ticket.tell(Event("state", "done"))

    def _write(self, ticket: Ticket, request: Request) -> None:
        drawn = Circumstances(pipeline="P", device="cpu", processor="x")
        record = Record(id=request.id, request=request, drawn=drawn)
        path = self.folder / f"{ticket.id}-{len(ticket.files)}.png"
        assert request.size is not None
        write(path, "images", Image.new("RGB", request.size, PAINT), record, {})
        ticket.files.append(path)
        ticket.tell(Event("image", "drawing", image=len(ticket.files) - 1, file=path))


@pytest.fixture
def studio(tmp_path: Path) -> PaintingStudio:
    return PaintingStudio(tmp_path)


@pytest.fixture
def serve(studio: PaintingStudio, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A function that starts a server with settings, and returns the address of the API."""
    with ExitStack() as stack:

        def start(**settings: Any) -> str:
            made = Settings(folder=tmp_path, **settings)
            port = stack.enter_context(serving(create_app(made, studio)))
            return f"http://127.0.0.1:{port}/sdapi/v1"

        yield start
        studio.held.clear()


@pytest.fixture
def address(serve: Callable[..., str]) -> str:
    return serve()


@pytest.fixture
def api(address: str) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(baseurl=address)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, PaintingStudio]]:
    """The address of a server for tests that change nothing of it, and its studio."""
    folder = tmp_path_factory.mktemp("painted")
    studio = PaintingStudio(folder)
    with serving(create_app(Settings(folder=folder), studio)) as port:
        yield f"http://127.0.0.1:{port}/sdapi/v1", studio


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webuiapi.WebUIApi]:
    """A client of a server that draws with the demo."""
    with serving(create_app(Settings(folder=tmp_path_factory.mktemp("drawn")))) as port:
        yield webuiapi.WebUIApi(baseurl=f"http://127.0.0.1:{port}/sdapi/v1", steps=2)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """A function that waits until another one returns something true, and returns it."""

    def wait(function: Callable[[], Any]) -> Any:
        for _ in range(4000):
            if found := function():
                return found
            time.sleep(0.005)
        raise AssertionError("it never happened")

    return wait


@pytest.fixture
def image_text() -> Callable[..., str]:
    """A function that returns an image of one color in base64."""

    def text(size: tuple[int, int] = (64, 64), color: Any = "yellow", mode: str = "RGB") -> str:
        stream = io.BytesIO()
        Image.new(mode, size, color).save(stream, "PNG")
        return base64.b64encode(stream.getvalue()).decode()

    return text
