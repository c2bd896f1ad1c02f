"""The environments of the checks: what others publish lies in a base, which sessions share.

The environment of a session holds wheels of the dists that it is about, without what they depend
on, and the tools that it alone needs; the rest it finds in the base. So it takes seconds to make,
and a dist that isn't among those it is about isn't there. A base has what any dist declares to
need: that each declares what it imports itself is what the session `layers` checks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nox
from packaging.requirements import Requirement
from workspace import ROOT, build_tools, lowest, third_party

# Small models gain nothing from more threads, and two sessions then share a small machine.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONPATH": "",
}
TESTED = "constraints.txt"
TEST_TOOLS = [Requirement("pytest>=8"), Requirement("hypothesis>=6.100")]
VERSIONS = ("tested", "oldest", "newest")
"""Kinds of bases: with the versions that are tested daily; with the lowest that are declared, of
everything but what is pinned for the first; and with the newest that there are."""


def wanted(versions: str) -> list[Requirement]:
    """What pip is to install into a base."""
    needed = [*third_party(), *TEST_TOOLS]
    if versions == "newest":
        return needed
    lows = lowest(needed) if versions == "oldest" else {}
    pinned = [Requirement(line) for line in lines(ROOT / TESTED)]
    return [*needed, *{**lows, **{one.name: one for one in pinned}}.values()]


def lines(requirements: Path) -> list[str]:
    """What a file of requirements names."""
    text = requirements.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def base(session: nox.Session, versions: str = "tested") -> Path:
    """The base with these `versions`, for the Python of `session`."""
    return kept(session, f"base-{versions}", wanted(versions))


def kept(session: nox.Session, name: str, packages: Iterable[Requirement]) -> Path:
    """An environment with `packages` that outlives its session; made where it isn't there yet.

    It is made again when other packages are asked for. To have newer releases of them, delete it.
    """
    about = "import platform; print(platform.python_version())"
    python = str(session.run("python", "-c", about, silent=True)).strip()
    folder = ROOT / ".nox" / f"{name}-{python}"
    made = folder / "packages.txt"
    asked = list(dict.fromkeys(map(str, packages)))
    if not made.is_file() or lines(made) != asked:
        session.run("python", "-m", "venv", "--clear", str(folder))
        pip = (str(python_of(folder)), "-m", "pip", "--quiet", "install")
        session.run(*pip, *asked, external=True)
        made.write_text("\n".join(asked), encoding="utf-8")
    return folder


def python_of(environment: Path) -> Path:
    """The interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def lend(session: nox.Session, base: Path, python: str = "python") -> None:
    """Let the environment of `python` see the packages of `base`."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lent, own = (
        str(session.run(one, "-c", where, silent=True, external=True)).strip()
        for one in (str(python_of(base)), python)
    )
    Path(own, "base.pth").write_text(lent + "\n", encoding="utf-8")


def wheels(session: nox.Session, dists: Iterable[str], folder: Path) -> list[str]:
    """Build wheels of `dists` into `folder`."""
    python = str(python_of(kept(session, "build", build_tools())))
    build = (python, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation")
    paths = [str(ROOT / dist) for dist in dists]
    session.run(*build, "--no-index", "--wheel-dir", str(folder), *paths, external=True)
    return [str(file) for file in sorted(folder.glob("*.whl"))]


def install(
    session: nox.Session, dists: Iterable[str], *tools: str, versions: str = "tested"
) -> None:
    """Make the environment of `session`: wheels of `dists` on the base, and `tools`."""
    session.env.update(ENVIRONMENT)
    lend(session, base(session, versions))
    with tempfile.TemporaryDirectory() as folder:
        built = wheels(session, dists, Path(folder))
        session.install("--no-deps", "--no-index", "--force-reinstall", *built)
    if tools:
        session.install(*([] if versions == "newest" else ["-c", TESTED]), *tools)
    session.run("python", "-m", "pip", "check", silent=True)
