"""What the installed distributions need of others, and whether they have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from importlib_metadata import PackageNotFoundError, requires, version
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version


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
        if installed is not None and not specifier.contains(installed, prereleases=True)
    )
    return Requirement(name, wanted, installed, tuple(by_dist), refused_by)


def installed_version(dist: str) -> str | None:
    """The version of `dist`, or None where it isn't installed. Imports nothing of it."""
    try:
        return version(dist)
    except PackageNotFoundError:
        return None


def _text(*sets: SpecifierSet) -> str:
    """All of `sets` together as people write it: each once, the lower bound first."""
    return ",".join(sorted({str(one) for specifiers in sets for one in specifiers}, reverse=True))


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
