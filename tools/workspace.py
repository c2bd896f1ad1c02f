"""What is in this workspace and what it declares to need. Dists are found by looking."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CORE = "core"
PLUGINS = sorted(
    f.parent.relative_to(ROOT).as_posix() for f in ROOT.glob("plugins/*/pyproject.toml")
)
DISTS = [CORE, *PLUGINS]
PACKAGES = [p.name for dist in DISTS for p in (ROOT / dist / "src").glob("autopipe*")]
OTHERS = sorted(
    f.parent.relative_to(ROOT).as_posix()
    for pattern in ("tests/strangers/*/pyproject.toml", "plugins/*/src/**/pyproject.toml")
    for f in ROOT.glob(pattern)
)
"""Projects as others write them, which are here for tests or to begin with."""

TEST_EXTRA = "test"
"""The extra in which a plugin declares what its tests need."""


@functools.cache
def pyproject(dist: str) -> dict[str, Any]:
    """The `pyproject.toml` of `dist`."""
    return nox.project.load_toml(ROOT / dist / "pyproject.toml")


def distribution(dist: str) -> str:
    """The name under which `dist` is published."""
    name: str = pyproject(dist)["project"]["name"]
    return name


def optional_dependencies(dist: str) -> dict[str, list[str]]:
    """What `dist` declares to need or to work with, by extra."""
    declared: dict[str, list[str]] = pyproject(dist)["project"].get("optional-dependencies", {})
    return declared


def requirements(dist: str, *extras: str) -> list[Requirement]:
    """What `dist` declares to need, with `extras` also what these name."""
    optional = [one for extra in extras for one in optional_dependencies(dist).get(extra, ())]
    return [Requirement(r) for r in [*pyproject(dist)["project"]["dependencies"], *optional]]


def local_requirements(dist: str, *extras: str) -> list[str]:
    """`dist` and the dists of this workspace that it declares to need, those needed first."""
    by_name = {distribution(d): d for d in DISTS}
    found: list[str] = []
    for requirement in requirements(dist, *extras):
        needed = by_name.get(requirement.name)
        if needed:
            found += [d for d in local_requirements(needed) if d not in found]
    return [*found, dist]


def third_party() -> list[Requirement]:
    """What the dists and their tests need of others."""
    ours = {distribution(dist) for dist in DISTS}
    return [r for dist in DISTS for r in requirements(dist, TEST_EXTRA) if r.name not in ours]


def build_tools() -> list[Requirement]:
    """What builds the dists."""
    return [Requirement(r) for dist in DISTS for r in pyproject(dist)["build-system"]["requires"]]


def lowest(needed: Iterable[Requirement]) -> dict[str, Requirement]:
    """For each name in `needed`, the lowest version that all of them accept."""
    found: dict[str, Version] = {}
    for requirement in needed:
        for specifier in requirement.specifier:
            if specifier.operator in (">=", "=="):
                version = Version(specifier.version)
                found[requirement.name] = max(version, found.get(requirement.name, version))
    return {name: Requirement(f"{name}=={version}") for name, version in found.items()}


def touched() -> list[str]:
    """The dists that a change may break: those it changed, and those that declare to need these.

    The change is what came since `CHANGED_SINCE`, a commit; where that isn't set, since this branch
    left main, or with the last commit of main itself. All dists, if it is about other files than
    theirs and than documentation, or if there is no history to tell.
    """
    since = os.environ.get("CHANGED_SINCE") or git("merge-base", "HEAD", "origin/main")
    if not since or since == git("rev-parse", "HEAD"):
        since = git("rev-parse", "HEAD~1")
    is_known = git("cat-file", "-t", since) == "commit"
    changed = git("diff", "--name-only", since).splitlines() if is_known else ["everything"]
    folders = {f"{dist}/": dist for dist in DISTS}
    own = {dist for file in changed for folder, dist in folders.items() if file.startswith(folder)}
    others = [f for f in changed if not f.startswith((*folders, "docs/")) and f[-3:] != ".md"]
    if others:
        return DISTS
    return [
        dist
        for dist in DISTS
        if own.intersection(local_requirements(dist, *optional_dependencies(dist)))
    ]


def git(*command: str) -> str:
    """What a command of git says, "" if it fails."""
    try:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
    except OSError:  # there is no git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
