"""The server as an ASGI application: the APIs, and what stands before all of them."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from autopipe.registry import Registry
from autopipe.resolution.version import __version__

from . import own
from .errors import answer, failure_of
from .logs import Logged
from .metrics import Metrics
from .security import Bodies, Hosts, Keys
from .settings import Settings
from .studio import Studio

APIS = ("openai", "webui")
"""The modules of this package with the APIs of others, each with a function `router`."""

FORMS = ("/v1/images/edits", "/uploads", "/settings")
"""The paths that take forms with files."""


def create_app(
    settings: Settings,
    studio: Studio | None = None,
    registry: Registry | None = None,
    *,
    grace: float = 30,
) -> FastAPI:
    """Return the server.

    Its state has `studio`, `settings`, `metrics` and `closing`.

    Args:
        settings: the settings.
        studio: what draws; by default a new one. It is closed with the server.
        registry: the installed packages.
        grace: the seconds for which the end of the server waits for what is being drawn.
    """
    drawing = Studio(settings, registry) if studio is None else studio
    closing, metrics = Closing(drawing, grace), Metrics(drawing)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        closing.begin()
        await run_in_threadpool(closing.wait)

    # Pages that show the API would load scripts from elsewhere.
    app = FastAPI(
        title="autopipe", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.studio, app.state.settings = drawing, settings
    app.state.metrics, app.state.closing = metrics, closing
    for name in APIS:
        if importlib.util.find_spec(f"{__package__}.{name}") is not None:
            module = importlib.import_module(f"{__package__}.{name}")
            app.include_router(module.router(drawing, settings))
    app.include_router(own.router(drawing, settings, registry))
    # All other errors reach `Logged`, which logs them.
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)
    # The last one sees a request first.
    app.add_middleware(Bodies, most=settings.limits.body, forms=FORMS)
    app.add_middleware(Keys, keys=settings.keys)
    app.add_middleware(Hosts, names=settings.hosts)
    app.add_middleware(
        Logged, metrics=metrics, names=drawing.names, log_prompts=settings.log_prompts
    )
    return app


class Closing:
    """The end of a studio, which begins at most once.

    Args:
        studio: the studio.
        seconds: for how long it waits for what is being drawn.
    """

    def __init__(self, studio: Studio, seconds: float) -> None:
        self._thread = threading.Thread(target=studio.close, args=(seconds,), daemon=True)
        self._lock, self._begun = threading.Lock(), False

    @property
    def begun(self) -> bool:
        """Whether the server takes no more requests."""
        return self._begun

    def begin(self) -> None:
        """Begin to close the studio; return at once."""
        with self._lock:
            if not self._begun:
                self._begun = True
                self._thread.start()

    def wait(self) -> None:
        """Wait until it is closed."""
        self._thread.join()


async def _answer(request: Request, error: Exception) -> Response:
    return answer(failure_of(error), request.scope["path"])
