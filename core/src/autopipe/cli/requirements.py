"""Checks the requirements of installed distributions."""

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
    """A required package: the versions that are accepted, and the one that is installed.

    Attributes:
        wanted: the combined version specifier.
        installed: the installed version, or None.
        wanted_by: the distributions that require it.
        refused_by: the distributions that don't accept the installed version, each with its own
            specifier.
    """

    name: str
    wanted: str
    installed: str | None
    wanted_by: tuple[str, ...]
    refused_by: tuple[tuple[str, str], ...]

    @property
    def met(self) -> bool:
        """Whether the installed version is accepted by all."""
        return self.installed is not None and not self.refused_by

    @property
    def possible(self) -> bool:
        """Whether the specifiers don't contradict each other."""
        wanted = SpecifierSet(self.wanted)
        named = [Version(o.version.removesuffix(".*")) for o in wanted if o.operator != "==="]
        after = [Version(f"{version}.post1") for version in named if not version.is_postrelease]
        return not named or any(map(wanted.contains, [*named, *after]))


def requirements(dists: Iterable[str]) -> list[Requirement]:
    """Return the requirements of `dists`, by name; missing distributions have none."""
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
    """Return the version of `dist`, or None if it isn't installed. Imports nothing of it."""
    with suppress(Exception):  # not installed, or damaged metadata
        return str(readable(dist).version or "unknown")
    return None


def _accepts(specifier: SpecifierSet, installed: str) -> bool:
    """Whether `specifier` accepts a version; an invalid version only if it accepts all."""
    try:
        return specifier.contains(Version(installed), prereleases=True)
    except InvalidVersion:
        return not specifier


def _text(*sets: SpecifierSet) -> str:
    """Combine `sets` into one specifier: each part once, the lower bound first."""
    return ",".join(sorted({str(one) for specifiers in sets for one in specifiers}, reverse=True))


def _declared(dist: str) -> Iterable[Parsed]:
    """Yield the requirements of `dist` that apply on this system, without those of extras."""
    texts: list[str] = []
    with suppress(Exception):
        texts = readable(dist).requires or []
    for text in texts:
        with suppress(Exception):  # a damaged or ancient metadata file
            parsed = Parsed(text)
            if parsed.marker is None or parsed.marker.evaluate({"extra": ""}):
                yield parsed
