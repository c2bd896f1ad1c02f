"""The page as an ASGI application."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from autopipe_serve.errors import Refusal
from autopipe_serve.security import Hosts

_HERE = Path(__file__).parent

MOST_FILE = 64 * 2**20
"""The most bytes of a file that a user gives to the page."""


def create_page(
    address: str,
    folder: Path,
    key: str | None = None,
    *,
    hosts: Collection[str] = (),
    keys: Collection[str] = (),
) -> FastAPI:
    """Return the page of a server.

    Args:
        address: the address of the server.
        folder: where results and what users give are kept; Gradio serves its files.
        key: the API key of the server, if it wants one.
        hosts: the host names of the page, in addition to those of the loopback.
        keys: the keys with which users log in; without any, nobody has to.

    Raises:
        ArgumentError: if the address is not valid.
    """
    # Gradio reads these when it is imported. The page works without any other network.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "page")
    import gradio as gr

    from .client import Client
    from .page import Page

    page = Page(Client(address, key), folder)
    app = FastAPI(title="autopipe", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Guarded, names=hosts)
    theme = gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate",
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip
    known = frozenset(keys)
    gr.mount_gradio_app(
        app, page.blocks(), path="", theme=theme, css=(_HERE / "style.css").read_text(),
        js=(_HERE / "page.js").read_text(), footer_links=[], run_history=False, ssr_mode=False,
        max_file_size=MOST_FILE, show_error=False, pwa=False, enable_monitoring=False,
        auth=(lambda _, password: password in known) if known else None,
        auth_message="The password is one of the keys; any name will do.",
        allowed_paths=[str(folder)],
    )  # fmt: skip
    return app


class _Guarded:
    """Answers what `Hosts` refuses, as text."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._hosts = Hosts(app, names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._hosts(scope, receive, send)
        except ClientDisconnect:
            pass  # The editor ends uploads that it no longer needs.
        except Refusal as refusal:
            answer = PlainTextResponse(f"{refusal}\n", refusal.status)
            await answer(scope, receive, send)
