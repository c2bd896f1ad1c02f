"""Says which package to install for something that no installed plugin provides.

The table of what this project publishes is `published.json`, which `python -m nox -s table` writes
from the manifests under `plugins/`. Only messages and the resolution of conflicting claims depend
on it; third-party plugins need no entry.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from importlib_metadata import PackageNotFoundError, distribution

from .packages import providers

CORE = "autopipe-core"
"""The distribution of the core."""


@functools.cache
def published() -> Mapping[str, Mapping[str, list[str]]]:
    """What each distribution of this project provides: names by kind."""
    content = Path(__file__).with_name("published.json").read_text(encoding="utf-8")
    return dict(json.loads(content))


def is_published(dist: str, name: str) -> bool:
    """Whether this project publishes `name`, of any kind, as part of `dist`."""
    return dist == CORE or any(name in names for names in published().get(dist, {}).values())


def dist_of(name: str, *kinds: str) -> str | None:
    """The distribution of this project that provides `name` as one of `kinds`, or None."""
    dists = published().items()
    return next((d for d, has in dists if any(name in has.get(k, ()) for k in kinds)), None)


def published_names() -> Iterator[str]:
    """Yield every public name that this project publishes."""
    for by_kind in published().values():
        yield from by_kind.get("name", ())


def dist_with_demo() -> str:
    """The distribution of a family with a demo checkpoint that draws from a prompt alone."""
    return _dist_with("demo")


def dist_with_fast() -> str:
    """The distribution of add-ons for `autopipe generate --fast`."""
    return _dist_with("fast")


def _dist_with(kind: str) -> str:
    return next(dist for dist, by_kind in published().items() if by_kind.get(kind))


def owner_of_family(name: str) -> str:
    """The distribution under which this project publishes the family `name`."""
    return "autopipe-" + name.replace("_", "-")


def pip_line(*requirements: str, options: str = "") -> str:
    """The pip command that installs distributions, each given by name or with a version.

    If the core was installed from a clone of this project, the command names folders of the clone:
    those of the distributions and of their dependencies there.
    """
    root = _clone()
    what: list[str] = []
    for requirement in requirements:
        dist = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        folders = [] if root is None else _folders(root, dist)
        what += [str(folder) for folder in folders] or [requirement]
    words = [
        "python -m pip install",
        *filter(None, [options]),
        *map(shlex.quote, dict.fromkeys(what)),
    ]
    return " ".join(words)


def reinstall_line(module: str, reason: str) -> str:
    """The pip command that repairs the distribution of `module`, whose import failed for `reason`.

    If a module of another distribution is absent, pip installs it as a dependency of this one.
    """
    dist = min(providers(module.partition(".")[0]), default=module.partition(".")[0])
    absent = reason.startswith("ModuleNotFoundError") and f"'{module}" not in reason
    return pip_line(dist, options="" if absent else "--force-reinstall --no-deps")


def _clone() -> Path | None:
    """The clone that the core was installed from; None if it came from an index."""
    from urllib.request import url2pathname  # Its import brings an HTTP client.

    try:
        origin = json.loads(distribution(CORE).read_text("direct_url.json") or "{}")
        url = urlsplit(origin.get("url", ""))
    except (PackageNotFoundError, ValueError, AttributeError):
        return None
    folder = Path(url2pathname(url.path)) if url.scheme == "file" else None
    return folder.parent if folder is not None and (folder / "pyproject.toml").is_file() else None


def _folders(root: Path, dist: str) -> list[Path]:
    """The folder of `dist` in a clone, after those of the plugins that it depends on."""
    if dist == CORE:
        return [root / "core"]
    projects = {
        match[1]: (file.parent, text)
        for file in sorted(root.glob("plugins/*/pyproject.toml"))
        if (match := re.search(r'^name = "(.+)"$', text := file.read_text("utf-8"), re.MULTILINE))
    }
    if dist not in projects:
        return []
    folder, text = projects[dist]
    declared = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    needed = re.findall(r'"([\w.-]+)', declared[1] if declared else "")
    before = [one for name in needed if name in projects for one in _folders(root, name)]
    return [*dict.fromkeys(before), folder]
