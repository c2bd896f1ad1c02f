"""The installed distributions, each read by itself: one whose metadata is damaged stops no other.

An interrupted installation, a full disk or a copied environment leaves distributions without a
name, with files of odd bytes, or twice. The functions of `importlib.metadata` for all of them end
at the first such one; here it is told, and the others go on.
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
        name, version: those of its metadata; of the name of its folder where that is damaged.
        points: its entry points of the group asked for.
        damage: what is wrong with its metadata, None for a sound one.
        folders: those of the damaged metadata, which are in the way of installing it anew.
    """

    name: str
    version: str
    points: tuple[EntryPoint, ...] = ()
    damage: str | None = None
    folders: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A name of a package, or of an entry point, in the one spelling of all that mean the same."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def packages_with(group: str) -> Iterator[Package]:
    """The distributions that have entry points of `group`, or entry points that can't be read.

    Of several with one name the first counts, as for every import. Two in one folder are what an
    interrupted installation leaves; the first that can be read counts, and a second entry tells.
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
            damage = f"its metadata is there {len(beside)} times, which is what is left of an "
            damage += "installation that was interrupted"
            yield Package(chosen.name, chosen.version, damage=damage, folders=folders)


def readable(name: str) -> Any:
    """The distribution called `name`.

    Raises:
        PackageNotFoundError: there is none.
        OSError: reading its metadata would wait for ever.
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
    """One distribution; None where it has no entry points of the group."""
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
    """What its metadata says, of which the part before the description is parsed alone."""
    _look(dist, "METADATA", "PKG-INFO")
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    head = message_from_string(text.partition("\n\n")[0])
    found = [(head[field] or "").strip() for field in ("Name", "Version")]
    if not all(found):
        raise ValueError(f"its METADATA has no {'Version' if found[0] else 'Name'}")
    return found


def _points_text(dist: Any) -> str | None:
    """What its file of entry points holds; None where it has none.

    `read_text` of a distribution says None for a file that may not be read, too.
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
    """Raise `OSError` where a file of `names` is a pipe, say, at which reading would wait."""
    path = getattr(dist, "_path", None)
    if isinstance(path, Path):
        for name in names:
            with suppress(*_ABSENT):
                look(path / name)


def _is_sound(line: str) -> bool:
    """Whether a line of a file of entry points is one."""
    line = line.strip()
    return not line or line[0] in "#[" or "=" in line


def _stem(dist: Any) -> tuple[str, str]:
    """Name and version as the folder of the metadata is called."""
    path = getattr(dist, "_path", None)
    name, _, version = Path(str(path)).stem.partition("-") if path is not None else ("", "", "")
    if not name:
        with suppress(Exception):
            name, version = str(dist.metadata["Name"]), str(dist.metadata["Version"])
    return name or "unknown", version or "unknown"


def _folder(dist: Any) -> Path | None:
    path = getattr(dist, "_path", None)
    return None if path is None else Path(str(path)).parent
