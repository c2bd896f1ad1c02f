"""Reads the fields of a request from what people write."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autopipe.cli.families import no_family_hint
from autopipe.errors import ArgumentError, MissingPluginError, nearest
from autopipe.manifest import EAGER
from autopipe.registry import Registry
from autopipe.resolution.hints import dist_with_demo, dist_with_fast, pip_line
from autopipe.wording import listed, shown

from .inputs import Spell, Text, fast_addons, source_of
from .request import Addition, Checkpoint, Scheduler
from .samplers import scheduler_known_as

LARGEST_SIDE = 1 << 16
"""The largest side of an image in pixels; image files support no more."""


@functools.lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Fields:
    """The fields of one request that have not been read yet.

    Args:
        given: what the user wrote, by key. Keys may have dashes; None means that it isn't given.
        registry: the installed packages.
        spell: how the user writes a key, for messages.
    """

    def __init__(self, given: Mapping[str, Any], registry: Registry, spell: Spell) -> None:
        self.rest = {k.replace("-", "_"): v for k, v in given.items() if v is not None}
        self.registry, self.spell = registry, spell

    def take(self, key: str, kind: Any, default: Any = None) -> Any:
        """Remove the value of a key and return it, checked; `default` if it isn't given."""
        if key not in self.rest:
            return default
        return self.read(key, self.rest.pop(key), kind)

    def read(self, key: str, value: Any, kind: Any) -> Any:
        """Return a value that fits `kind`, a type or a union of types.

        Raises:
            ArgumentError: if it doesn't fit.
        """
        adapter = _adapter(kind)
        tries = [value]
        if isinstance(value, Text):
            with suppress(ValueError, RecursionError):
                tries.insert(0, json.loads(value))
            tries.append(str(value))
        for one in tries:
            with suppress(ValidationError):
                return adapter.validate_python(one, strict=not isinstance(one, (dict, list)))
        name = getattr(kind, "__name__", None) or str(kind)
        raise ArgumentError(f"{self.spell(key)} {shown(value)} is not valid: it takes {name}")

    def texts(self, key: str) -> list[Any]:
        """Remove the value of a key and return it as a list, of which most have one element."""
        return _list(self.rest.pop(key, None))

    # Checkpoints

    def checkpoint(self, task: str | None) -> tuple[Checkpoint, str | None]:
        """Return the checkpoint, by default a demo that serves the task, and the revision."""
        given = self.rest.pop("checkpoint", None)
        model = self.rest.pop("model", given)
        found = self._checkpoint("model", demo_of(self.registry, task) if model is None else model)
        options = {n: self.take(n, str | None) for n in ("variant", "dtype", "config")}
        found = found.model_copy(update={n: one for n, one in options.items() if one is not None})
        return found, self.take("revision", str, found.commit)

    def _checkpoint(self, key: str, value: Any) -> Checkpoint:
        if isinstance(value, Mapping):
            found: Checkpoint = self.read(key, dict(value), Checkpoint)
            return found
        return Checkpoint(name=str(self.read(key, value, str)))

    def conditions(self) -> dict[str, Checkpoint | bool]:
        """Return the models of conditions, and True for those that are flags, by keyword."""
        given = dict(self.take("conditions", dict, {}))
        for keyword in self.registry.conditions:
            if keyword in self.rest:
                given[keyword] = self.rest.pop(keyword)
        return {keyword: self._condition(keyword, value) for keyword, value in given.items()}

    def _condition(self, keyword: str, value: Any) -> Checkpoint | bool:
        condition = self.registry.conditions.get(keyword)
        if condition is None:
            hint = nearest(keyword, self.registry.conditions)
            raise ArgumentError(f"there is no condition {shown(keyword)}.{hint}")
        if condition.flag:
            return bool(self.read(keyword, value, bool))
        if condition.target is None:
            raise ArgumentError(f"{self.spell(keyword)} takes no checkpoint; leave it out")
        found = self._checkpoint(keyword, value)
        families = self.registry.families.items()
        owners = (n for n, one in families if condition in one.conditions and one.demo)
        owner = next(owners, None) if found.name == "demo" else None
        return found.model_copy(update={"name": f"demo:{owner}"}) if owner else found

    def stages(self, keywords: Iterable[str]) -> dict[str, str]:
        """Return the checkpoints of other stages of a chain, by keyword.

        Raises:
            ArgumentError: if a keyword is not one of `keywords`.
        """
        given = dict(self.take("stages", dict[str, str], {}))
        known = [*keywords]
        for name in given:
            if name not in known:
                raise ArgumentError(f"there is no stage {shown(name)}.{nearest(name, known)}")
        return given | {k: self.take(k, str) for k in known if k in self.rest}

    # What is attached, and what computes

    def addons(self) -> list[Addition]:
        """Return what is attached, in this order: `addons`, `attach`, options, `fast`.

        Raises:
            MissingPluginError: if an add-on isn't installed.
        """
        installed = self.registry.of("addon")
        found = [self.read("addons", one, Addition) for one in self.texts("addons")]
        found += [_addition(str(self.read("attach", one, str))) for one in self.texts("attach")]
        for name, addon in installed.items():
            key = addon.option.replace("-", "_")
            found += [self._of_option(key, name, one) for one in (self.texts(key) if key else ())]
        for one in found:
            self.registry.entry("addon", one.addon)
        if self.take("fast", bool, False):
            fast = fast_addons(self.registry)
            if not fast:
                raise MissingPluginError(
                    f"no installed plugin has an add-on for {self.spell('fast')}. "
                    f"Run: {pip_line(dist_with_fast())}"
                )
            there = {one.addon for one in found}
            found += [Addition(addon=name, optional=True) for name in fast if name not in there]
        return found

    def _of_option(self, key: str, name: str, value: Any) -> Addition:
        if isinstance(value, Mapping):
            found: Addition = self.read(key, {"addon": name, **value}, Addition)
            return found
        return _addition(f"{name}={self.read(key, value, str)}")

    def engine(self) -> str | dict[str, str] | None:
        """Return the engine of all networks, or engines by component; None for eager mode."""
        given = self.rest.pop("engine", None)
        if isinstance(given, Mapping):
            parts = dict(self.read("engine", given, dict[str, str]))
        else:
            texts = [self.read("engine", t, str) for t in _list(given)]
            texts = [one for text in texts for one in text.split(",")]
            for text in texts if len(texts) > 1 else ():
                if "=" not in text:
                    raise ArgumentError(
                        f"{self.spell('engine')} {text} is for all networks; give only this one, "
                        f"or COMPONENT={text}"
                    )
            parts = dict(text.split("=", 1) if "=" in text else ("", text) for text in texts)
        for engine in parts.values():
            if engine != EAGER:
                self.registry.entry("engine", engine)
        whole = parts.get("")
        if whole is not None:
            return None if whole == EAGER else whole
        return parts or None

    # Numbers and names

    def size(self) -> tuple[int, int] | None:
        """Return width and height in pixels, from `size` or from both `width` and `height`."""
        if "size" not in self.rest and {"width", "height"} <= self.rest.keys():
            self.rest["size"] = [self.rest.pop("width"), self.rest.pop("height")]
        given = self.rest.pop("size", None)
        if given is None:
            return None
        if isinstance(given, str):
            sides = given.lower().split("x") if "x" in given.lower() else [given, given]
            given = [int(one) for one in sides if one.isdecimal() and len(one) < 9]
        elif isinstance(given, int):
            given = [given, given]
        width, height = self.read("size", given, tuple[int, int])
        if not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
            raise ArgumentError(
                f"{self.spell('size')} {width}x{height} is not a size from 1 to {LARGEST_SIDE} "
                f"pixels per side"
            )
        return width, height

    def seed(self) -> int | None:
        """Return the seed, from 0 to 2**63 - 1."""
        found = self.take("seed", int)
        if found is not None and not 0 <= found < 2**63:
            raise ArgumentError(
                f"{self.spell('seed')} {shown(found)} is not valid: it is a whole number from 0 to "
                f"2**63 - 1"
            )
        return None if found is None else int(found)

    def scheduler(self) -> Scheduler | None:
        """Return the scheduler by its class, its short name, or a name in other programs.

        Raises:
            ArgumentError: if no installed one has this name.
        """
        given = self.rest.pop("scheduler", None)
        if given is None:
            return None
        if isinstance(given, Mapping):
            found: Scheduler = self.read("scheduler", dict(given), Scheduler)
            known = self.named_scheduler(found.name)
            return Scheduler(name=known.name, config={**known.config, **found.config})
        return self.named_scheduler(str(self.read("scheduler", given, str)))

    def named_scheduler(self, name: str) -> Scheduler:
        """Return the scheduler that goes by a name."""
        installed = schedulers_of(self.registry)
        short = {full.removesuffix("Scheduler"): full for full in installed}
        plain = {t.lower(): full for t, full in (*short.items(), *zip(installed, installed))}
        if found := plain.get(name.lower()):
            return Scheduler(name=found)
        meant = scheduler_known_as(name)
        if meant is not None and meant.name in installed:
            return meant
        hint = nearest(name, [*short, *installed])
        raise ArgumentError(
            f"there is no scheduler {shown(name)}.{hint} Installed: {listed(short, 30) or 'none'}"
        )


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _addition(text: str) -> Addition:
    name, source, strength = source_of(text)
    return Addition(addon=name, source=source, strength=strength)


def schedulers_of(registry: Registry) -> list[str]:
    """Return the class names of the installed schedulers, sorted."""
    return sorted(
        component.name
        for family in registry.families.values()
        for component in family.components
        if component.kind == "scheduler"
    )


def demo_of(registry: Registry, task: str | None) -> str:
    """Return the demo checkpoint of an installed family that serves `task` if it is given.

    Raises:
        MissingPluginError: if there is none.
    """
    wanted = None if task is None else registry.task(task)
    names = [
        name
        for name, family in registry.families.items()
        if family.demo_opens
        if wanted is None or any(wanted in pipeline.tasks for pipeline in family.pipelines)
    ]
    if not names:
        raise MissingPluginError(
            f"no installed family ships a demo checkpoint{f' for {wanted}' if wanted else ''}, so "
            f"--model is needed. For a family with a demo: {no_family_hint()}"
        )
    ours = (name for name in names if registry.plugins[name].dist == dist_with_demo())
    return f"demo:{next(ours, names[0])}"
