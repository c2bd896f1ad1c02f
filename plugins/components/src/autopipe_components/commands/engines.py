"""`autopipe engines`: lists installed engines and what they cached."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from autopipe.cli.command import Run, explain, show
from autopipe.cli.text import counted, facts, size, table
from autopipe.registry import default_registry

from ..engines.topologies import Entry, Topologies

ABOUT = (
    "List the installed engines, and the networks that they converted. What a network computes is "
    "cached without its weights, so that the next program needn't convert it."
)
EXAMPLES = ("autopipe engines", "autopipe engines --clear")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("--clear", action="store_true", help="remove all converted networks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the lists, or clear the cache."""
    cache = Topologies()
    if arguments.clear:
        count, removed = len(cache.entries()), cache.clear()
        found = {"removed": count, "bytes": removed}
        networks = counted(count, "converted network", "converted networks")
        show(arguments.json, found, f"Removed {networks} ({size(removed)}).")
        return 0
    registry = default_registry()
    engines = [
        {"name": engine.name, "package": registry.plugins[name].dist}
        for name, family in registry.families.items()
        for engine in family.engines
    ]
    entries = cache.entries()
    data = {
        "engines": engines,
        "folder": str(cache.folder),
        "cached": [_described(one) for one in entries],
    }
    show(arguments.json, data, _text(engines, entries, cache))
    return 0


def _text(engines: Sequence[dict[str, str]], entries: Sequence[Entry], cache: Topologies) -> str:
    rows = [(one["name"], one["package"]) for one in engines]
    parts = [table(rows, ("ENGINE", "PACKAGE"))]
    total = sum(one.size for one in entries)
    where = {"cache": str(cache.folder), "size": f"{size(total)} of {size(cache.most_bytes)}"}
    parts.append(facts(where))
    if entries:
        found = [tuple(map(str, _described(one).values())) for one in entries]
        cells = [(*row[:-1], size(one.size)) for row, one in zip(found, entries)]
        parts.append(table(cells, ("ENGINE", "NETWORK", "METHOD", "SIZE")))
    return "\n\n".join(parts)


def _described(entry: Entry) -> dict[str, Any]:
    about = entry.about
    named = {key: str(about.get(key, "")) for key in ("engine", "network", "method")}
    return {**named, "bytes": entry.size}
