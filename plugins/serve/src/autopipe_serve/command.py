"""`autopipe serve`: serves images over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.cli.arguments import between, bytes_in, count
from autopipe.cli.command import Run, explain, option
from autopipe.errors import ArgumentError
from autopipe.regular import opened
from autopipe.wording import shown
from autopipe_requests.options import declare_device

if TYPE_CHECKING:
    from .settings import Settings

KEYS = "AUTOPIPE_KEYS"
"""The environment variable with API keys, separated by spaces or commas."""

SHORTEST = 16
"""The fewest characters of a key."""

_LARGEST_KEY_FILE = 1 << 20

ABOUT = (
    "Serve images over HTTP: by OpenAI's images API (/v1), by the API of the Stable Diffusion web "
    "UI (/sdapi/v1), and by one of its own (/tasks, /requests), which streams steps and previews. "
    "By default it serves the demo, and only to programs on this machine. Ctrl-C finishes what is "
    "being drawn; a second one stops at once."
)
EXAMPLES = (
    "autopipe serve",
    "autopipe serve --model ink=models/ink --model OWNER/NAME --memory 16GiB",
    "autopipe serve --host 0.0.0.0 --key-file keys --host-name example.org",
)

PORT = between(int, 0, 65535)
_SECONDS = between(float, 0.1, 1_000_000)
_MANY = between(int, 1, 2**32)

LIMITS: Mapping[str, tuple[str, Any, str, str]] = {
    "queue": ("N", between(int, 0, 100_000), "64", "requests that wait; further ones are refused"),
    "seconds": ("S", _SECONDS, "600", "the time that one request may draw"),
    "pixels": ("N", _MANY, "4194304", "pixels of one image"),
    "steps": ("N", count, "150", "denoising steps"),
    "images": ("N", count, "10", "images of one request"),
    "prompt": ("N", _MANY, "10000", "characters of a prompt"),
    "body": ("SIZE", bytes_in, "64MiB", "the body of a request"),
    "upload": ("N", _MANY, "16777216", "pixels of an image that a client sends"),
    "results": ("N", count, "1000", "finished requests whose results are kept"),
}
"""The limits of `Limits`: placeholder, type, default and help of their options."""


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    take = partial(option, parser)
    about = "the address to listen at, such as 0.0.0.0 for all (default: 127.0.0.1, this machine)"
    take("--host ADDRESS", about, default="127.0.0.1")
    take("--port N", "the port, or 0 for a free one (default: 8000)", type=PORT, default=8000)
    declare_drawing(parser)
    safety = declare_safety(parser)
    about = "fetch images that clients name by URL, from public addresses (default: no)"
    safety.add_argument("--allow-addresses", action="store_true", help=about)
    about = "write prompts into the log (default: no)"
    safety.add_argument("--log-prompts", action="store_true", help=about)
    about = "text, or json for a JSON object on each line (default: text)"
    safety.add_argument("--log-format", choices=("text", "json"), default="text", help=about)
    about = "seconds for which the end waits for what is being drawn (default: 30.0)"
    option(safety, "--grace S", about, type=_SECONDS, default=30.0)
    declare_limits(parser)
    return run


def declare_drawing(parser: argparse.ArgumentParser) -> None:
    """Add what a server draws with."""
    add, take = parser.add_argument, partial(option, parser)
    about = (
        "a checkpoint that clients may name, and its name; repeat it for several, the first is "
        "the default (default: the demos of the installed families)"
    )
    take("--model [NAME=]CHECKPOINT", about, many=True)
    about = "the folder of results (default: a temporary one, which is removed at the end)"
    take("--folder FOLDER", about)
    take("--loras FOLDER", "the adapters that clients may name, by file names (default: none)")
    about = (
        "main and device memory for checkpoints, such as 16GiB; the least recently used leaves "
        "(default: that of the machine)"
    )
    take("--memory SIZE", about, type=bytes_in)
    declare_device(parser)
    about = "requests that are drawn at the same time (default: 1)"
    take("--workers N", about, type=count, default=1)
    about = "with --workers: requests of equal shape share the steps of the network (default: no)"
    add("--sharing", action="store_true", help=about)
    about = "send no previews, which take a little time for each step (default: send them)"
    add("--no-previews", action="store_true", help=about)


def declare_safety(parser: argparse.ArgumentParser) -> Any:
    """Add who reaches a server, in a group of its own, which is returned."""
    safety = parser.add_argument_group("safety")
    take = partial(option, safety)
    about = f"a file with a key on each line, one of which each client sends; or set {KEYS}"
    take("--key-file FILE", f"{about} (default: no keys)")
    about = "listen at an address that other machines reach, without keys (default: refuse to)"
    safety.add_argument("--without-keys", action="store_true", help=about)
    about = "a name of this server in URLs, such as pictures.example.org (default: none)"
    take("--host-name NAME", about, many=True)
    return safety


def declare_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits of requests, in a group of their own."""
    limits = parser.add_argument_group("limits of requests")
    for name, (metavar, kind, default, about) in LIMITS.items():
        dest = f"max_{name}"
        words = f"--{dest.replace('_', '-')} {metavar}"
        option(limits, words, f"{about} (default: {default})", type=kind, dest=dest)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    keys = keys_in(arguments.key_file)
    check_reach(arguments.host, keys, allowed=arguments.without_keys)
    models = models_in(arguments.model or ())
    with folder_of_results(arguments.folder) as folder:
        settings = settings_in(arguments, models, keys, folder)
        from .server import serve

        return serve(
            settings, arguments.host, arguments.port, arguments.grace,
            log_as_json=arguments.log_format == "json",
        )  # fmt: skip


@contextmanager
def folder_of_results(given: str | None) -> Iterator[Path]:
    """Context manager with the folder of results: the given one, or a temporary one.

    Raises:
        ArgumentError: if it can't be written.
    """
    if given is None:
        with tempfile.TemporaryDirectory(prefix="autopipe-results-") as folder:
            yield Path(folder)
        return
    try:
        os.makedirs(given, exist_ok=True)
        with tempfile.TemporaryFile(dir=given):
            pass
    except (OSError, ValueError):
        raise ArgumentError(f"--folder {shown(given)} can't be written; give another one") from None
    yield Path(given)


def settings_in(
    arguments: argparse.Namespace, models: Mapping[str, str], keys: tuple[str, ...], folder: Path
) -> Settings:
    """Return the settings that the options say.

    Raises:
        ArgumentError: if one is not valid.
    """
    from pydantic import ValidationError

    from autopipe_requests.placement import Placement

    from .settings import Limits, Settings

    given = {name: getattr(arguments, f"max_{name}") for name in LIMITS}
    try:
        limits = Limits(**{name: one for name, one in given.items() if one is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"--max-{first['loc'][0]}"
        raise ArgumentError(f"{name} {shown(first['input'])} is not valid") from None
    if arguments.loras is not None and not os.path.isdir(arguments.loras):
        raise ArgumentError(f"--loras {shown(arguments.loras)} is not a folder; give one")
    return Settings(
        models=models,
        folder=folder,
        loras=None if arguments.loras is None else Path(arguments.loras),
        placement=Placement(device=arguments.device, offload=arguments.offload),
        memory=arguments.memory,
        workers=arguments.workers,
        keys=keys,
        hosts=hosts_in(arguments),
        allow_addresses=arguments.allow_addresses,
        log_prompts=arguments.log_prompts,
        sharing=arguments.sharing,
        previews=not arguments.no_previews,
        limits=limits,
    )


def hosts_in(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the names and the address by which clients may reach a server."""
    own = () if _is_wildcard(arguments.host) else (arguments.host,)
    return (*(arguments.host_name or ()), *own)


def models_in(given: Any) -> dict[str, str]:
    """Return the checkpoints by name.

    Without a name, a local one is called like its file or folder, and others like themselves.

    Raises:
        ArgumentError: if two have one name.
    """
    found: dict[str, str] = {}
    for text in given:
        name, separator, checkpoint = text.partition("=")
        if not separator:
            path, name, checkpoint = os.path.expanduser(text), text, text
            if os.path.exists(path):
                real = Path(path).resolve()
                name = real.stem if real.is_file() else real.name
        if not name or not checkpoint:
            raise ArgumentError(f"--model {shown(text)} has no name or no checkpoint; give both")
        if name in found:
            raise ArgumentError(f"two models are called {shown(name)}; give --model NAME={text}")
        found[name] = checkpoint
    return found


def keys_in(file: str | None) -> tuple[str, ...]:
    """Return the keys in a file and in the environment variable `AUTOPIPE_KEYS`.

    Raises:
        ArgumentError: if the file can't be read, has no key, or a key is not valid.
    """
    found = os.environ.get(KEYS, "").replace(",", " ").split()
    if file is not None:
        try:
            with opened(file, _LARGEST_KEY_FILE) as stream:
                lines = stream.read().decode().splitlines()
        except (OSError, ValueError):
            raise ArgumentError(
                f"--key-file {shown(file)} can't be read; give a text file"
            ) from None
        own = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not own:
            raise ArgumentError(f"--key-file {shown(file)} has no key; write one on each line")
        found += own
    for number, key in enumerate(found, start=1):
        if len(key) < SHORTEST or not (key.isascii() and key.isprintable()) or " " in key:
            raise ArgumentError(
                f"key {number} is not valid: a key has at least {SHORTEST} ASCII characters and no "
                f"spaces; make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
    return tuple(dict.fromkeys(found))


def check_reach(host: str, keys: tuple[str, ...], *, allowed: bool) -> None:
    """Check that only programs on this machine reach a server without keys.

    Raises:
        ArgumentError: if others do, and that is not allowed.
    """
    if keys or allowed or is_loopback(host):
        return
    raise ArgumentError(
        f"--host {shown(host)} lets other machines use this server, which has no keys; give "
        f"--key-file FILE, or --without-keys if everyone who reaches it may draw"
    )


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address to listen at."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host
