"""Runs the server until a signal ends it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from autopipe.cli.checkpoint import open_checkpoint
from autopipe.cli.text import say
from autopipe.errors import ArgumentError
from autopipe.placement.allocator import keeping_memory
from autopipe.registry import default_registry
from autopipe.wording import logger, shown

from .app import create_app
from .logs import logging_to_stderr
from .settings import Settings

_log = logger(__name__)

CONNECTIONS = 1000
"""The most connections at a time; further ones are told so (503)."""

_INTERRUPTED = 128 + signal.SIGINT


class Server(uvicorn.Server):
    """A server that finishes what is being drawn after a signal, and stops at once after two.

    Args:
        app: the application.
        grace: the seconds for which the end waits for what is being drawn.
        patient: whether the end then waits for open connections, too. Those of pages stay open as
            long as their browsers do.
    """

    def __init__(self, app: FastAPI, grace: float, *, patient: bool = True) -> None:
        # h11 limits the size of headers. Links in answers have the scheme that a proxy on this
        # machine tells, or one that FORWARDED_ALLOW_IPS names.
        super().__init__(
            uvicorn.Config(
                app, http="h11", ws="none", lifespan="on", log_config=None, access_log=False,
                server_header=False, proxy_headers=True, limit_concurrency=CONNECTIONS,
                timeout_keep_alive=15, timeout_graceful_shutdown=int(grace) + 15,
            )
        )  # fmt: skip
        self._closing, self._grace, self._patient = app.state.closing, grace, patient

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; called by Python between any two instructions of the main thread."""
        if self.should_exit:
            os._exit(_INTERRUPTED)
        self.should_exit = True
        # Printing here could interrupt printing.
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        self._closing.begin()
        about = f"finishing what is being drawn, at most {self._grace:g} seconds"
        _log.info("%s; press Ctrl-C again to stop at once", about)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; called by uvicorn."""
        if not self._patient:
            for one in tuple(self.server_state.connections):
                one.transport.close()
        await super().shutdown(sockets)


def serve(
    settings: Settings, host: str, port: int, grace: float = 30, *, log_as_json: bool = False
) -> int:
    """Serve until a signal ends it; return the exit code.

    Args:
        settings: the settings.
        host: the address to listen at.
        port: the port; 0 for a free one.
        grace: the seconds for which the end waits for what is being drawn.
        log_as_json: whether lines of the log are JSON.

    Raises:
        ArgumentError: if it can't listen there, or there is no such device.
        AutopipeError: if a checkpoint can't be opened.
    """
    check_settings(settings)
    with (
        listening(host, port) as sock,
        logging_to_stderr(as_json=log_as_json),
        # Before the threads that draw begin, which otherwise return memory after each step.
        keeping_memory(settings.placement.target(), in_new_threads=True),
    ):
        app = create_app(settings, registry=default_registry(), grace=grace)
        say(f"serving at {address_of(host, sock)}")
        try:
            Server(app, grace).run(sockets=[sock])
        finally:
            app.state.closing.begin()
            app.state.closing.wait()
    return 0


def check_settings(settings: Settings) -> None:
    """Check the models and the device of a server, before a client finds what is wrong.

    Raises:
        ArgumentError: if there is no such device.
        AutopipeError: if a checkpoint can't be opened.
    """
    for checkpoint in settings.models.values():
        open_checkpoint(checkpoint, default_registry(), local_only=True)
    settings.placement.target()


def address_of(host: str, sock: socket.socket) -> str:
    """Return the address of a server that listens at a host."""
    return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


@contextmanager
def serving(app: FastAPI, grace: float = 5, *, patient: bool = True) -> Iterator[int]:
    """Context manager in which an application is served at the loopback, by a thread.

    It yields the port, a free one. The end waits for the thread.

    Args:
        app: the application.
        grace: as for `serve`.
        patient: as for `Server`.

    Raises:
        RuntimeError: if the application can't start.
    """
    server, sock = Server(app, grace, patient=patient), listening("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="serving")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server can't start")
            time.sleep(0.01)
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ArgumentError: if that is not possible.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not valid"
        raise ArgumentError(
            f"--host {shown(host)} --port {port} can't be used ({why}); give another port"
        ) from None
