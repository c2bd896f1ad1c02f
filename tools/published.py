"""Write the table of what this project publishes, from the manifests that are installed.

`python -m nox -s table` installs everything under plugins/ and runs this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from autopipe.registry import Registry, default_registry
from autopipe.resolution.claims import claims

FILE = Path(__file__).parents[1] / "core/src/autopipe/resolution/published.json"


def table(registry: Registry, dists: set[str]) -> dict[str, dict[str, list[str]]]:
    """What each of `dists` offers: names by their kind."""
    found: dict[str, dict[str, Any]] = {}
    for installed in registry.installed:
        if installed.plugin.dist in dists:
            by_kind: dict[str, set[str]] = {}
            for claim in claims(installed):
                if claim.kind not in ("cell", "component", "component of line", "condition"):
                    by_kind.setdefault(claim.kind, set()).add(str(claim.name))
            # The first demo of a family that draws by itself is what tools propose.
            if installed.manifest.demo and not installed.manifest.conditions:
                by_kind["demo"] = {f"demo:{installed.manifest.name}"}
            found[installed.plugin.dist] = {k: sorted(names) for k, names in by_kind.items()}
    return dict(sorted(found.items()))


def text(content: dict[str, dict[str, list[str]]]) -> str:
    """The table as the file has it."""
    kinds = [
        f"{json.dumps(dist)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(kind)}: {json.dumps(names)}" for kind, names in by_kind.items()
        )
        + "\n}"
        for dist, by_kind in content.items()
    ]
    return "{\n" + ",\n".join(kinds) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(table(default_registry(), set(sys.argv[1:]))), encoding="utf-8")
    print(f"wrote {FILE}")
