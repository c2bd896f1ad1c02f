"""`autopipe ui`: a page to draw in, and the server that draws."""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from autopipe.cli.command import Run, explain, option
from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_serve.command import (
    PORT,
    check_reach,
    declare_drawing,
    declare_limits,
    declare_safety,
    folder_of_results,
    hosts_in,
    keys_in,
    models_in,
    settings_in,
)

SERVER_KEY = "AUTOPIPE_SERVER_KEY"
"""The environment variable with the key of the server that `--server` names."""

ABOUT = (
    "Draw in a page of the browser, with a form for every installed task. By default it starts a "
    "server of its own with the demo, which only the page reaches, and needs no network. Ctrl-C "
    "ends both."
)
EXAMPLES = (
    "autopipe ui",
    "autopipe ui --open --model ink=models/ink --loras models/loras",
    "autopipe ui --server https://pictures.example.org",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    take = partial(option, parser)
    about = "the address to listen at, such as 0.0.0.0 for all (default: 127.0.0.1, this machine)"
    take("--host ADDRESS", about, default="127.0.0.1")
    take("--port N", "the port, or 0 for a free one (default: 7860)", type=PORT, default=7860)
    about = "open the page in the browser (default: print its address)"
    parser.add_argument("--open", action="store_true", help=about)
    about = f"the server that draws, with its key in {SERVER_KEY} (default: one of its own)"
    take("--server URL", about)
    declare_safety(parser)
    declare_drawing(parser)
    declare_limits(parser)
    return run


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until a signal ends it."""
    keys = keys_in(arguments.key_file)
    check_reach(arguments.host, keys, allowed=arguments.without_keys)
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="autopipe-ui-")
        folder = Path(stack.enter_context(temporary))
        if arguments.server is None:
            key: str | None = secrets.token_urlsafe()
            arguments.allow_addresses = arguments.log_prompts = False
            results = stack.enter_context(folder_of_results(arguments.folder))
            models = models_in(arguments.model or ())
            server: Any = settings_in(arguments, models, (str(key),), results)
        else:
            _check_alone(arguments)
            key, server = os.environ.get(SERVER_KEY) or None, arguments.server
        from .running import serve_page

        return serve_page(
            arguments.host, arguments.port, folder, hosts_in(arguments), keys,
            server=server, server_key=key, open_browser=arguments.open,
        )  # fmt: skip


def _check_alone(arguments: argparse.Namespace) -> None:
    """Check that `--server` comes without options for a server of the page's own.

    Raises:
        ArgumentError: if there is one.
    """
    own = argparse.ArgumentParser()
    declare_drawing(own)
    declare_limits(own)
    for name, default in vars(own.parse_args([])).items():
        if getattr(arguments, name) != default:
            raise ArgumentError(
                f"--{name.replace('_', '-')} is for a server of the page's own, and --server "
                f"{shown(arguments.server)} names another one; give one of them"
            )
