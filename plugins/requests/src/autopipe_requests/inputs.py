"""The inputs that tasks, conditions and add-ons declare, and the choice of the task by them.

An input goes by its *key*: its option without dashes, with underscores, such as `mask`. How people
write a key depends on where they write it; `Spell` functions say it in messages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from autopipe.cli.checkpoint import tasks_of
from autopipe.errors import ArgumentError
from autopipe.manifest import AddOn
from autopipe.registry import Registry
from autopipe.tasks import Input, Task
from autopipe.wording import shown

PICTURES = ("image", "mask")
"""The kinds of inputs that are images, which may have an address on the internet."""

FILES = (*PICTURES, "video", "audio")
"""The kinds of inputs that are read from files."""

Spell: TypeAlias = Callable[[str], str]
"""Returns how the user writes a key, such as `--guidance` for `guidance`."""


class Text(str):
    """A value as text, from a command line or a table, which may mean a number or JSON."""


_NUMBER = re.compile(r"-?\d*\.?\d+")


def key_of(one: Input) -> str:
    """Return the key of an input."""
    return "prompt" if one.name == "prompt" else (one.option or one.name).replace("-", "_")


def is_address(text: str) -> bool:
    """Whether `text` is an address on the internet."""
    try:
        return urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).hostname)
    except ValueError:
        return False


def attaching(name: str, addon: AddOn, spell: Spell = shown) -> str:
    """Return how the user attaches an add-on."""
    return spell(addon.option.replace("-", "_")) if addon.option else f"{spell('attach')} {name}"


def owners_of(registry: Registry, spell: Spell = shown) -> dict[str, str]:
    """Return for the key of each input what it depends on, as users write it; empty for tasks."""
    found: dict[str, str] = {"prompt": ""}
    for inputs, owner in _declared(registry, spell):
        for one in inputs:
            found.setdefault(key_of(one), owner)
    return found


def _declared(registry: Registry, spell: Spell) -> Iterator[tuple[Iterable[Input], str]]:
    for task in registry.tasks:
        yield task.inputs, ""
    for keyword, condition in registry.conditions.items():
        yield condition.inputs, spell(keyword)
    for name, addon in registry.of("addon").items():
        yield addon.inputs, attaching(name, addon, spell)


def source_of(text: str) -> tuple[str, str | None, float]:
    """Return the name of an add-on, what it loads or None, and its strength.

    Args:
        text: `NAME`, `NAME=FILE` or `NAME=FILE:STRENGTH`.
    """
    name, _, source = text.partition("=")
    if os.path.exists(source):
        return name, source, 1.0
    file, strength = parted(source)
    return name, file or None, strength


def parted(text: str) -> tuple[str, float]:
    """Return file and strength of `FILE` or `FILE:STRENGTH`."""
    head, _, tail = text.rpartition(":")
    return (head, float(tail)) if head and _NUMBER.fullmatch(tail) else (text, 1.0)


def task_of(
    requested: str | None,
    class_name: str,
    conditions: Iterable[str],
    given: Sequence[str],
    own: Sequence[str],
    registry: Registry,
    spell: Spell = shown,
) -> Task | None:
    """Return the requested task, else the task of the checkpoint that fits the given inputs.

    None if the checkpoint's pipeline serves no task.

    Args:
        requested: the task that the user names, or None.
        given: the keys of all given inputs.
        own: those of them that only tasks can use.

    Raises:
        ArgumentError: if an input is missing for the task, or the task doesn't use it.
        UnsupportedCheckpointError: if no installed family supports the task and the conditions for
            this checkpoint.
    """
    wanted = dict.fromkeys(conditions, True)
    named = registry.resolve(class_name).pipeline.task
    offered = tasks_of(class_name, registry, wanted)
    candidates = sorted(offered, key=lambda task: task != named)
    if requested is not None or (not offered and (wanted or named)):
        chosen = named if requested is None else registry.task(requested)
        registry.resolve(class_name, chosen, wanted)  # raises if it is not supported
        candidates = [registry.task(chosen or "")]
    if not candidates:
        return None
    misfits = {task: _misfit(task, given, own) for task in registry.tasks}
    task = min(candidates, key=lambda task: [len(keys) for keys in misfits[task]])
    useless, missing, _ = misfits[task]
    if useless or missing:
        needs, useless, missing = (
            [spell(key) for key in keys] for keys in (needs_of(task), useless, missing)
        )
        wrong = f"the task {task} needs {joined(needs) or 'no input'}"
        wrong += f" and doesn't use {joined(useless, 'or')}" if useless else ""
        hints = [f"{'also ' if given else ''}give {joined(missing)}"] if missing else []
        hints += [f"leave out {joined(useless)}"] if useless else []
        fit = next((t for t in registry.tasks if not any(misfits[t][:2])), task)
        if fit not in offered:
            wrong = f"{class_name} doesn't support the task {fit}: {wrong}"
        raise ArgumentError(f"{wrong}; {joined(hints)}")
    return task


def _misfit(
    task: Task, given: Sequence[str], own: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the keys that the task doesn't use, those it lacks, and those it doesn't need."""
    takes, needs = [key_of(one) for one in task.inputs], needs_of(task)
    return (
        [key for key in own if key not in takes],
        [key for key in needs if key not in given],
        [key for key in own if key not in needs],
    )


def fast_addons(registry: Registry) -> dict[str, str]:
    """Return what is lost with each installed add-on that makes results faster, by its name."""
    return {name: one.fast for name, one in registry.of("addon").items() if one.fast}


def needs_of(task: Task) -> list[str]:
    """Return the keys of the inputs that the task requires."""
    return [key_of(one) for one in task.inputs if one.required]


def joined(words: Iterable[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    *most, end = [*words] or [""]
    return f"{', '.join(most)} {last} {end}" if most else end
