"""What the installed distributions need of others, and whether they have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from importlib_metadata import PackageNotFoundError, requires, version
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Requirement:
    """A package, the versions that all who need it accept, and the one that is there."""

    name: str
    wanted: str
    installed: str | None
    wanted_by: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether the installed version is one of those wanted."""
        return self.installed is not None and SpecifierSet(self.wanted).contains(
            self.installed, prereleases=True
        )


def requirements(dists: Iterable[str]) -> list[Requirement]:
    """What `dists` need, by name; distributions that are not installed need nothing."""
    specifiers: dict[str, SpecifierSet] = {}
    wanted_by: dict[str, list[str]] = {}
    for dist in dict.fromkeys(dists):
        for parsed in _declared(dist):
            name = canonicalize_name(parsed.name)
            specifiers[name] = specifiers.get(name, SpecifierSet()) & parsed.specifier
            wanted_by.setdefault(name, []).append(dist)
    return [
        Requirement(name, _text(specifiers[name]), installed_version(name), tuple(wanted_by[name]))
        for name in sorted(specifiers)
    ]


def installed_version(dist: str) -> str | None:
    """The version of `dist`, or None where it isn't installed. Imports nothing of it."""
    try:
        return version(dist)
    except PackageNotFoundError:
        return None


def _text(specifiers: SpecifierSet) -> str:
    """As people write it: the lower bound first."""
    return ",".join(sorted(map(str, specifiers), reverse=True))


def _declared(dist: str) -> Iterable[Parsed]:
    """The requirements of `dist` that apply here, those of its extras left out."""
    try:
        texts = requires(dist) or []
    except PackageNotFoundError:
        return
    for text in texts:
        try:
            parsed = Parsed(text)
        except InvalidRequirement:  # a damaged or ancient metadata file
            continue
        if parsed.marker is None or parsed.marker.evaluate({"extra": ""}):
            yield parsed
