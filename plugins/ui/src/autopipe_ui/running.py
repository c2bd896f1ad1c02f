"""Runs the page, and its own server beside it, until a signal ends them."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from autopipe.cli.text import say
from autopipe.placement.allocator import keeping_memory
from autopipe.registry import default_registry
from autopipe_serve.app import Closing, create_app
from autopipe_serve.server import Server, address_of, check_settings, listening, serving
from autopipe_serve.settings import Settings

from .app import create_page

GRACE = 5.0
"""For how many seconds the end waits for what is being drawn."""


def serve_page(
    host: str,
    port: int,
    folder: Path,
    hosts: Sequence[str] = (),
    keys: Sequence[str] = (),
    *,
    server: Settings | str,
    server_key: str | None = None,
    open_browser: bool = False,
) -> int:
    """Serve the page until a signal ends it; return the exit code.

    Args:
        host: the address to listen at.
        port: the port; 0 for a free one.
        folder: where the page keeps results and what users give.
        hosts: the host names of the page, in addition to those of the loopback.
        keys: the keys with which users log in.
        server: the settings of a server of the page's own, or the address of another one.
        server_key: the key of the server.
        open_browser: whether the page is opened in the browser.

    Raises:
        ArgumentError: if it can't listen there, or an address or device is not valid.
        AutopipeError: if a checkpoint can't be opened.
    """
    closing: Closing | _Nothing = _Nothing()
    with ExitStack() as stack:
        sock = stack.enter_context(listening(host, port))
        if isinstance(server, Settings):
            check_settings(server)
            target = server.placement.target()
            stack.enter_context(keeping_memory(target, in_new_threads=True))
            app = create_app(server, registry=default_registry(), grace=GRACE)
            closing = app.state.closing
            server = f"http://127.0.0.1:{stack.enter_context(serving(app, GRACE))}"
        page = create_page(server, folder, server_key, hosts=hosts, keys=keys)
        page.state.closing = closing
        address = address_of(host, sock)
        say(f"draw at {address}")
        if open_browser:
            webbrowser.open(address)
        Server(page, GRACE, patient=False).run(sockets=[sock])
    return 0


class _Nothing:
    """What is closed if another server draws."""

    def begin(self) -> None:
        """Close nothing."""

    def wait(self) -> None:
        """Wait for nothing."""
