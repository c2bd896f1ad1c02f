"""The environments of the checks: sessions share a base with all third-party packages.

The environment of a session contains wheels of the dists that it tests, without their dependencies,
and tools that no other session needs. It takes everything else from the base. So it is created in
seconds, and dists that it doesn't test are absent. A wheel is built once, until its source changes.
A base contains the requirements of all dists; the session `layers` checks that each dist declares
what it imports.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import nox
from packaging.requirements import Requirement
from workspace import ROOT, build_tools, distribution, lowest, third_party

# Small models gain nothing from more threads, and two sessions can share a small machine.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONPATH": "",
}
TESTED = "constraints.txt"
WHEELS = ROOT / ".nox/wheels"
"""Wheels of this workspace that were built, each in a folder named by what it was built from."""
TEST_TOOLS = [Requirement("pytest>=8"), Requirement("hypothesis>=6.100")]
VERSIONS = ("tested", "oldest", "newest")
"""The kinds of bases: with the versions that are tested daily; with the lowest declared versions,
except for packages that are pinned for the first kind; and with the newest versions."""


def wanted(versions: str) -> list[Requirement]:
    """Return the requirements that pip installs into a base."""
    needed = [*third_party(), *TEST_TOOLS]
    if versions == "newest":
        return needed
    lows = lowest(needed) if versions == "oldest" else {}
    pinned = [Requirement(line) for line in lines(ROOT / TESTED)]
    return [*needed, *{**lows, **{one.name: one for one in pinned}}.values()]


def lines(requirements: Path) -> list[str]:
    """Return the lines of a requirements file without comments."""
    text = requirements.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def base(session: nox.Session, versions: str = "tested") -> Path:
    """Return the base with these `versions` for the Python of `session`."""
    return kept(session, f"base-{versions}", wanted(versions))


def kept(session: nox.Session, name: str, packages: Iterable[Requirement]) -> Path:
    """Return an environment with `packages` that is kept after its session; create it if absent.

    It is created again if the packages change. Delete it to get newer releases of them.
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
    """Return the path of the interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def lend(session: nox.Session, base: Path, python: str = "python") -> None:
    """Make the packages of `base` importable in the environment of `python`."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lent, own = (
        str(session.run(one, "-c", where, silent=True, external=True)).strip()
        for one in (str(python_of(base)), python)
    )
    Path(own, "base.pth").write_text(lent + "\n", encoding="utf-8")


def wheels(session: nox.Session, dists: Iterable[str], folder: Path) -> list[str]:
    """Put wheels of `dists` into `folder`, and return the paths of all wheels in it."""
    places = {dist: WHEELS / digest(ROOT / dist) for dist in dists}
    build_wheels(session, {dist: place for dist, place in places.items() if not place.is_dir()})
    folder.mkdir(parents=True, exist_ok=True)
    for place in places.values():
        shutil.copytree(place, folder, dirs_exist_ok=True)
    return [str(file) for file in sorted(folder.glob("*.whl"))]


def digest(project: Path) -> str:
    """Return a digest of all files from which a wheel of `project` is built."""
    top = sorted(file for file in project.iterdir() if file.is_file())
    within = sorted(f for f in project.glob("src/**/*") if f.is_file() and f.suffix != ".pyc")
    found = hashlib.sha256()
    for file in (*top, *within):
        content = file.read_bytes()
        found.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


def build_wheels(session: nox.Session, places: Mapping[str, Path]) -> None:
    """Build a wheel of each dist into its place, a folder of its own that is kept."""
    if not places:
        return
    python = str(python_of(kept(session, "build", build_tools())))
    build = (python, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation")
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WHEELS) as folder:
        paths = [str(ROOT / dist) for dist in places]
        session.run(*build, "--no-index", "--wheel-dir", folder, *paths, external=True)
        for dist, place in places.items():
            name = re.sub(r"[-_.]+", "_", distribution(dist)).lower()
            (wheel,) = Path(folder).glob(f"{name}-*.whl")
            alone = Path(folder, place.name)
            alone.mkdir()
            wheel.rename(alone / wheel.name)
            # Another session may have been first.
            with suppress(OSError):
                alone.rename(place)


def install(
    session: nox.Session, dists: Iterable[str], *tools: str, versions: str = "tested"
) -> None:
    """Set up the environment of `session`: the base, wheels of `dists`, and `tools`."""
    session.env.update(ENVIRONMENT)
    lend(session, base(session, versions))
    with tempfile.TemporaryDirectory() as folder:
        built = wheels(session, dists, Path(folder))
        session.install("--no-deps", "--no-index", "--force-reinstall", *built)
    if tools:
        session.install(*([] if versions == "newest" else ["-c", TESTED]), *tools)
    session.run("python", "-m", "pip", "check", silent=True)
