"""Reads the installed distributions one by one, so that damaged metadata affects only its own.

An interrupted installation, a full disk or a copied environment can leave distributions without a
name, with unreadable files, or twice. `importlib.metadata` stops at the first of these; the
functions here report it and continue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import Any

from importlib_metadata import EntryPoint, distribution, distributions

from ..errors import PluginError
from ..regular import look
from ..wording import shown
from .guard import guarded

POINTS = "entry_points.txt"

_ABSENT = (FileNotFoundError, NotADirectoryError, KeyError)


@dataclass(frozen=True)
class Package:
    """A distribution, as far as its metadata can be read.

    Attributes:
        name, version: from its metadata, or from its folder's name if the metadata is damaged.
        points: its entry points of the requested group.
        damage: what is wrong with its metadata, or None.
        folders: the folders of damaged metadata, which prevent a new installation.
    """

    name: str
    version: str
    points: tuple[EntryPoint, ...] = ()
    damage: str | None = None
    folders: tuple[str, ...] = ()


def plain(name: str) -> str:
    """The normalized spelling of a package's or an entry point's name."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def packages_with(group: str) -> Iterator[Package]:
    """Yield the distributions with entry points of `group`, or with unreadable entry points.

    Of several with one name the first counts, as for every import. Several in one folder are left
    over from an interrupted installation: the first readable one counts, followed by a second
    `Package` that describes the damage.
    """
    by_name: dict[str, list[Any]] = {}
    for dist in distributions():
        by_name.setdefault(plain(_stem(dist)[0]), []).append(dist)
    for dists in by_name.values():
        folder = _folder(dists[0])
        beside = [one for one in dists if folder and _folder(one) == folder] or dists[:1]
        found = [one for dist in beside if (one := _package(dist, group)) is not None]
        chosen = next((one for one in found if one.damage is None), None) or next(iter(found), None)
        if chosen is None:
            continue
        yield chosen
        if len(beside) > 1:
            folders = tuple(sorted(str(one._path) for one in beside))
            damage = f"its metadata exists {len(beside)} times, as an interrupted installation "
            damage += "leaves it"
            yield Package(chosen.name, chosen.version, damage=damage, folders=folders)


def readable(name: str) -> Any:
    """Return the distribution called `name`.

    Raises:
        PackageNotFoundError: if it is not installed.
        OSError: if its metadata is not a regular file, so that reading could block.
    """
    found = distribution(name)
    _look(found, "METADATA", "PKG-INFO")
    return found


def providers(module: str) -> set[str]:
    """The names of the distributions that provide a top-level `module`, as far as can be read."""
    found = set()
    for dist in distributions():
        with suppress(Exception):
            declared = (dist.read_text("top_level.txt") or "").split()
            tops = declared or [file.parts[0].removesuffix(".py") for file in dist.files or ()]
            if module in tops:
                found.add(str(dist.metadata["Name"]))
    return found


def _package(dist: Any, group: str) -> Package | None:
    """Read one distribution; None if it has no entry points of the group."""
    stem, version = _stem(dist)
    try:
        with guarded(PluginError, ours=False):
            text = _points_text(dist)
            wrong = [line for line in (text or "").splitlines() if not _is_sound(line)]
            if wrong:
                raise ValueError(f"{POINTS} has the line {shown(wrong[0])}")
            if text is None or group not in text:
                return None
            points = tuple(dist.entry_points.select(group=group))
            name, version = _name_and_version(dist)
    except PluginError as error:
        folders = (str(dist._path),) if _folder(dist) else ()
        damage = f"its metadata is damaged ({error})"
        return Package(stem, version, damage=damage, folders=folders)
    return Package(name, version, points)


def _name_and_version(dist: Any) -> list[str]:
    """Name and version from its metadata; the description is not parsed."""
    _look(dist, "METADATA", "PKG-INFO")
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    head = message_from_string(text.partition("\n\n")[0])
    found = [(head[field] or "").strip() for field in ("Name", "Version")]
    if not all(found):
        raise ValueError(f"its METADATA has no {'Version' if found[0] else 'Name'}")
    return found


def _points_text(dist: Any) -> str | None:
    """The text of its entry-point file; None if it has none.

    `Distribution.read_text` also returns None for a file without read permission.
    """
    _look(dist, POINTS)
    path = getattr(dist, "_path", None)
    if path is None:
        text: str | None = dist.read_text(POINTS)
        return text
    with suppress(*_ABSENT):
        return str(path.joinpath(POINTS).read_text(encoding="utf-8"))
    return None


def _look(dist: Any, *names: str) -> None:
    """Raise `OSError` if a file of `names` is not regular, such as a pipe that blocks readers."""
    path = getattr(dist, "_path", None)
    if isinstance(path, Path):
        for name in names:
            with suppress(*_ABSENT):
                look(path / name)


def _is_sound(line: str) -> bool:
    """Whether a line of an entry-point file is well formed."""
    line = line.strip()
    return not line or line[0] in "#[" or "=" in line


def _stem(dist: Any) -> tuple[str, str]:
    """Name and version from the name of the metadata folder."""
    path = getattr(dist, "_path", None)
    name, _, version = Path(str(path)).stem.partition("-") if path is not None else ("", "", "")
    if not name:
        with suppress(Exception):
            name, version = str(dist.metadata["Name"]), str(dist.metadata["Version"])
    return name or "unknown", version or "unknown"


def _folder(dist: Any) -> Path | None:
    path = getattr(dist, "_path", None)
    return None if path is None else Path(str(path)).parent
