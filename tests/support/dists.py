"""Creates installed distributions without pip, and runs processes that find them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def write_dist(
    site: Path,
    dist: str,
    points: dict[str, str],
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> None:
    """Write the metadata of `dist` to the folder `site`, with entry points for families."""
    info = site / f"{dist.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    told = [f"Name: {dist}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *told, ""]))
    lines = [f"{name} = {target}\n" for name, target in points.items()]
    (info / "entry_points.txt").write_text("[autopipe.families]\n" + "".join(lines))


def write_plugin(
    site: Path, name: str, source: str, version: str = "1.0", requires: Sequence[str] = ()
) -> None:
    """Write a plugin `dist-<name>` with one module and the family `name`."""
    write_dist(site, f"dist-{name}", {name: f"plugin_{name}"}, version, requires)
    (site / f"plugin_{name}.py").write_text(source)


def python(
    arguments: Sequence[str], *sites: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a new process that finds the distributions in `sites`."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=env(*sites, **environ)
    )


def env(*sites: Path, **environ: str) -> dict[str, str]:
    """Return the environment for a process that finds the distributions in `sites`."""
    path = os.pathsep.join([*map(str, sites), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, **environ}
