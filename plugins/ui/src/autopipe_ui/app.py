"""The page as an ASGI application."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from fastapi import FastAPI

_HERE = Path(__file__).parent

MOST_FILE = 64 * 2**20
"""The most bytes of a file that a user gives to the page."""


def create_page(
    address: str, folder: Path, key: str | None = None, *, keys: Collection[str] = ()
) -> FastAPI:
    """Return the page of a server.

    Args:
        address: the address of the server.
        folder: where results and what users give are kept; Gradio serves its files.
        key: the API key of the server, if it wants one.
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
    theme = gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate",
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip
    known = frozenset(keys)
    return gr.mount_gradio_app(
        app, page.blocks(), path="", theme=theme, css=(_HERE / "style.css").read_text(),
        js=(_HERE / "page.js").read_text(), footer_links=[], run_history=False, ssr_mode=False,
        max_file_size=MOST_FILE, show_error=False, pwa=False, enable_monitoring=False,
        auth=(lambda _, password: password in known) if known else None,
        auth_message="The password is one of the keys; any name will do.",
        allowed_paths=[str(folder)],
    )  # fmt: skip
