"""Write the table and the stub of everything that this project publishes.

Both come from the installed manifests. The table is for hints, the stub for type checkers.
`python -m nox -s table` installs everything under plugins/ and runs this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import autopipe_devkit.stubs
from autopipe.registry import Registry, default_registry
from autopipe.resolution.claims import claims
from autopipe.tasks import Task

SOURCE = Path(__file__).parents[1] / "core/src"
FILE = SOURCE / "autopipe/resolution/published.json"
STUB = SOURCE / autopipe_devkit.stubs.FILE


def table(registry: Registry, dists: set[str]) -> dict[str, dict[str, list[str]]]:
    """Return the names that each of `dists` provides, by kind."""
    found: dict[str, dict[str, Any]] = {}
    for installed in registry.installed:
        if installed.plugin.dist in dists:
            by_kind: dict[str, set[str]] = {}
            for claim in claims(installed):
                if claim.kind not in ("cell", "component", "component of line", "condition"):
                    by_kind.setdefault(claim.kind, set()).add(str(claim.name))
            # Tools suggest the first demo that draws from nothing but a prompt.
            tasks = {task for one in installed.manifest.pipelines for task in one.tasks}
            if installed.manifest.demo_opens and Task.TEXT2IMAGE in tasks:
                by_kind["demo"] = {f"demo:{installed.manifest.name}"}
            # They suggest this distribution for `generate --fast`.
            if fast := {one.name for one in installed.manifest.addons if one.fast}:
                by_kind["fast"] = fast
            found[installed.plugin.dist] = {k: sorted(names) for k, names in by_kind.items()}
    return dict(sorted(found.items()))


def text(content: dict[str, dict[str, list[str]]]) -> str:
    """Return the table as the text of its file."""
    kinds = [
        f"{json.dumps(dist)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(kind)}: {json.dumps(names)}" for kind, names in by_kind.items()
        )
        + "\n}"
        for dist, by_kind in content.items()
    ]
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def stub(registry: Registry, dists: set[str]) -> str:
    """Return the stub of the core, with its own public names and those of `dists`."""
    ours = Registry(one for one in registry.installed if one.plugin.dist in dists)
    return autopipe_devkit.stubs.stub(ours, "python -m nox -s table")


if __name__ == "__main__":
    dists = set(sys.argv[1:])
    FILE.write_text(text(table(default_registry(), dists)), encoding="utf-8")
    STUB.write_text(stub(default_registry(), dists), encoding="utf-8")
    print(f"wrote {FILE} and {STUB}")
