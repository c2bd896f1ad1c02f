"""What the installed distributions need of others, and whether they have it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..resolution.packages import readable


@dataclass(frozen=True)
class Requirement:
    """A package, the versions that all who need it accept, and the one that is there.

    Attributes:
        wanted: what all of them ask for together, as a specifier.
        installed: the version, None where it isn't installed.
        wanted_by: who needs it.
        refused_by: those of them that the installed version doesn't do for, each with the
            specifier of its own.
    """

    name: str
    wanted: str
    installed: str | None
    wanted_by: tuple[str, ...]
    refused_by: tuple[tuple[str, str], ...]

    @property
    def met(self) -> bool:
        """Whether the installed version is one of those wanted."""
        return self.installed is not None and not self.refused_by

    @property
    def possible(self) -> bool:
        """Whether some version can do for all, as far as their specifiers tell."""
        wanted = SpecifierSet(self.wanted)
        named = [Version(o.version.removesuffix(".*")) for o in wanted if o.operator != "==="]
        after = [Version(f"{version}.post1") for version in named if not version.is_postrelease]
        return not named or any(map(wanted.contains, [*named, *after]))


def requirements(dists: Iterable[str]) -> list[Requirement]:
    """What `dists` need, by name; distributions that are not installed need nothing."""
    specifiers: dict[str, dict[str, SpecifierSet]] = {}
    for dist in dict.fromkeys(dists):
        for parsed in _declared(dist):
            by_dist = specifiers.setdefault(canonicalize_name(parsed.name), {})
            by_dist[dist] = by_dist.get(dist, SpecifierSet()) & parsed.specifier
    return [_requirement(name, specifiers[name]) for name in sorted(specifiers)]


def _requirement(name: str, by_dist: dict[str, SpecifierSet]) -> Requirement:
    installed = installed_version(name)
    wanted = _text(*by_dist.values())
    refused_by = tuple(
        (dist, _text(specifier))
        for dist, specifier in by_dist.items()
        if installed is not None and not _accepts(specifier, installed)
    )
    return Requirement(name, wanted, installed, tuple(by_dist), refused_by)


def installed_version(dist: str) -> str | None:
    """The version of `dist`, or None where it isn't installed. Imports nothing of it."""
    with suppress(Exception):  # It isn't installed, or its metadata is damaged.
        return str(readable(dist).version or "unknown")
    return None


def _accepts(specifier: SpecifierSet, installed: str) -> bool:
    """Whether a version is one of those; one that is none, of damaged metadata, only of all."""
    try:
        return specifier.contains(Version(installed), prereleases=True)
    except InvalidVersion:
        return not specifier


def _text(*sets: SpecifierSet) -> str:
    """All of `sets` together as people write it: each once, the lower bound first."""
    return ",".join(sorted({str(one) for specifiers in sets for one in specifiers}, reverse=True))


def _declared(dist: str) -> Iterable[Parsed]:
    """The requirements of `dist` that apply here, those of its extras left out."""
    texts: list[str] = []
    with suppress(Exception):
        texts = readable(dist).requires or []
    for text in texts:
        with suppress(Exception):  # a damaged or ancient metadata file
            parsed = Parsed(text)
            if parsed.marker is None or parsed.marker.evaluate({"extra": ""}):
                yield parsed
