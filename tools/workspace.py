"""The dists of this workspace and their declared requirements. Dists are found by their files."""

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
"""Projects like those of other authors: for tests, or as a template."""

TEST_EXTRA = "test"
"""The extra in which a plugin declares the requirements of its tests."""
TESTED_ALONE = "TESTED_ALONE"
"""An environment variable that tells the session `tests` which dists it may leave out."""


@functools.cache
def pyproject(dist: str) -> dict[str, Any]:
    """Return the content of the `pyproject.toml` of `dist`."""
    return nox.project.load_toml(ROOT / dist / "pyproject.toml")


def distribution(dist: str) -> str:
    """Return the name under which `dist` is published."""
    name: str = pyproject(dist)["project"]["name"]
    return name


def optional_dependencies(dist: str) -> dict[str, list[str]]:
    """Return the optional dependencies of `dist` by extra."""
    declared: dict[str, list[str]] = pyproject(dist)["project"].get("optional-dependencies", {})
    return declared


def for_one_of_several(dist: str) -> list[str]:
    """Return the dists of this workspace of which `dist` needs one at least, each an extra."""
    folders = [f"plugins/{extra.replace('-', '_')}" for extra in optional_dependencies(dist)]
    return [folder for folder in folders if folder in DISTS]


def requirements(dist: str, *extras: str) -> list[Requirement]:
    """Return the requirements of `dist`, including those of `extras`."""
    optional = [one for extra in extras for one in optional_dependencies(dist).get(extra, ())]
    return [Requirement(r) for r in [*pyproject(dist)["project"]["dependencies"], *optional]]


def local_requirements(dist: str, *extras: str) -> list[str]:
    """Return `dist` after the dists of this workspace that it requires, in install order."""
    by_name = {distribution(d): d for d in DISTS}
    found: list[str] = []
    for requirement in requirements(dist, *extras):
        needed = by_name.get(requirement.name)
        if needed:
            found += [d for d in local_requirements(needed) if d not in found]
    return [*found, dist]


def third_party() -> list[Requirement]:
    """Return the third-party requirements of the dists and of their tests."""
    ours = {distribution(dist) for dist in DISTS}
    return [r for dist in DISTS for r in requirements(dist, TEST_EXTRA) if r.name not in ours]


def build_tools() -> list[Requirement]:
    """Return the build requirements of the dists."""
    return [Requirement(r) for dist in DISTS for r in pyproject(dist)["build-system"]["requires"]]


def lowest(needed: Iterable[Requirement]) -> dict[str, Requirement]:
    """Return, for each name in `needed`, the lowest version that all requirements accept."""
    found: dict[str, Version] = {}
    for requirement in needed:
        for specifier in requirement.specifier:
            if specifier.operator in (">=", "=="):
                version = Version(specifier.version)
                found[requirement.name] = max(version, found.get(requirement.name, version))
    return {name: Requirement(f"{name}=={version}") for name, version in found.items()}


def touched() -> list[str]:
    """Return the dists that a change may break: those it changed, and those that require them.

    The change starts at the commit `CHANGED_SINCE`; if that isn't set, at the merge base with main,
    or at the parent of HEAD on main itself. All dists are returned if it contains files that are
    neither in a dist nor documentation, or if the history is not available.
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
    """Return the output of a git command, or "" if it fails."""
    try:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
    except OSError:  # git is not installed
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
