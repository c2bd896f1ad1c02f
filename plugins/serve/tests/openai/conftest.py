"""A server on the loopback, and a studio that draws squares and counts them."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from openai import OpenAI

from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe.tasks import Task
from autopipe_requests.pictures import save_image
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Checkpoint, Request
from autopipe_serve.app import create_app
from autopipe_serve.names import Names
from autopipe_serve.server import serving
from autopipe_serve.settings import Settings
from autopipe_serve.studio import BusyError, Event, Model, Ticket

STEPS = 8
MODELS = {"squares": "demo:squares", "own/other": "demo:other", "no-pipeline": "demo:condition"}


class FakeStudio:
    """Draws a square for each request, in a thread, and counts them.

    Attributes:
        given: what clients asked for, completed.
        drawn: the number of squares that were begun.
        failure: what a drawing raises, or None.
        failing_image: which image of a ticket raises it.
        refusals: how many times the queue is full.
        cancelling: whether drawings are cancelled by somebody else.
        going: drawings stop before their first step until it is set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given: list[Mapping[str, Any]] = []
        self.tickets: list[Ticket] = []
        self.drawn = 0
        self.failure: Exception | None = None
        self.failing_image = 0
        self.refusals = 0
        self.cancelling = False
        self.going = threading.Event()
        self.going.set()
        self.names = Names(Settings(folder=folder, models=MODELS), default_registry())

    def models(self) -> tuple[Model, ...]:
        tasks = (Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT)
        return tuple(
            Model(name, path, None, () if name == "no-pipeline" else tasks, True)
            for name, path in MODELS.items()
        )

    def complete(self, given: Mapping[str, Any], folder: Path | None = None) -> Request:
        self.given.append(dict(given))
        if "bad" in given["prompt"]:
            raise ArgumentError("prompt is bad; give a good one")
        self.uploads = {
            key: (folder / given[key]).read_bytes()
            for key in ("image", "mask")
            if folder is not None and key in given
        }
        return Request(
            checkpoint=Checkpoint(name="demo:squares"),
            seed=int(given.get("seed", 5)),
            size=tuple(given["size"]) if "size" in given else None,
            arguments={"prompt": given["prompt"]},
        )

    def submit(self, requests: Sequence[Request], owner: str) -> Ticket:
        if self.refusals:
            self.refusals -= 1
            raise BusyError("the queue is full; try again later", 1)
        stopped = threading.Event()

        def stop(ticket: Ticket) -> bool:
            stopped.set()
            return not ticket.is_over

        ticket = Ticket(uuid.uuid4().hex, owner, tuple(requests), stop=stop)
        self.tickets.append(ticket)
        threading.Thread(target=self._draw, args=(ticket, stopped), daemon=True).start()
        return ticket

    def ticket(self, id: str) -> Ticket | None:
        return next((one for one in self.tickets if one.id == id), None)

    def close(self, seconds: float = 30) -> None:
        pass

    def _draw(self, ticket: Ticket, stopped: threading.Event) -> None:
        ticket.tell(Event("state", "drawing"))
        for number, request in enumerate(ticket.requests):
            self.drawn += 1
            while not self.going.is_set() and not stopped.is_set():
                time.sleep(0.005)
            if stopped.is_set() or self.cancelling:
                ticket.tell(Event("state", "cancelled"))
                return
            if self.failure is not None and number == self.failing_image:
                ticket.error, ticket.failure = str(self.failure), type(self.failure)
                ticket.tell(Event("state", "failed"))
                return
            color = (request.seed % 256, 99, 0)
            image = PIL.Image.new("RGB", request.size or (16, 8), color)
            self._step(ticket, number, image)
            file = self.folder / f"{ticket.id}-{number}.png"
            drawn = Circumstances(pipeline="Squares", device="cpu", processor="any")
            record = Record(id=request.id, request=request, drawn=drawn)
            save_image(image, file, {"autopipe": record.text(), "parameters": "a square"})
            ticket.files.append(file)
            ticket.tell(Event("image", "drawing", number, STEPS, STEPS, file=file))
        ticket.tell(Event("state", "done"))

    def _step(self, ticket: Ticket, number: int, image: PIL.Image.Image) -> None:
        small = io.BytesIO()
        image.resize((4, 4)).save(small, "PNG")
        for step in range(1, STEPS + 1):
            ticket.tell(Event("step", "drawing", number, step, STEPS))
            ticket.tell(Event("preview", "drawing", number, step, STEPS, small.getvalue()))
            time.sleep(0.02)  # Only the latest preview is kept.


@dataclass
class Served:
    """A server that runs.

    Attributes:
        studio: what draws.
        address: where it is.
    """

    studio: Any
    address: str
    settings: Settings
    clients: list[OpenAI] = field(default_factory=list)

    def client(self, **options: Any) -> OpenAI:
        """Return the official client."""
        options = {"base_url": f"{self.address}/v1", "api_key": "any", **options}
        self.clients.append(OpenAI(**options))
        return self.clients[-1]


@pytest.fixture
def waited_for() -> Callable[[Callable[[], object]], bool]:
    """Return a function that says whether something happens within some seconds."""

    def wait(happened: Callable[[], object]) -> bool:
        end = time.monotonic() + 20
        while not happened() and time.monotonic() < end:
            time.sleep(0.01)
        return bool(happened())

    return wait


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a server with a studio; by default one that draws squares."""
    running: list[Served] = []
    with ExitStack() as stack:

        def start(studio: Any = None, **options: Any) -> Served:
            settings = Settings(**{"folder": tmp_path, **options})
            studio = studio or FakeStudio(tmp_path)
            port = stack.enter_context(serving(create_app(settings, studio)))
            running.append(Served(studio, f"http://127.0.0.1:{port}", settings))
            return running[-1]

        yield start
        for client in (one for served in running for one in served.clients):
            client.close()
