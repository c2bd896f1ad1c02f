"""The options of `generate` that come from installed manifests, and the choice of the task.

In the parsed arguments, each is stored under the option itself, such as `--image`.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from autopipe.cli.checkpoint import tasks_of
from autopipe.cli.command import option
from autopipe.cli.options import PROMPT, add_option, declare_stages
from autopipe.cli.text import help_text
from autopipe.errors import ArgumentError
from autopipe.manifest import AddOn
from autopipe.registry import Registry
from autopipe.tasks import Input, Task

FILES = ("image", "mask", "video", "audio")
"""The kinds of inputs that are read from files."""

_NUMBER = re.compile(r"-?\d*\.?\d+")

_METAVARS = {"label": "LABEL", "number": "X", "text": "TEXT", "value": "JSON"}


def word(one: Input) -> str:
    """Return the option of an input on the command line."""
    if one.name == "prompt":
        return PROMPT
    return "--" + (one.option or one.name).replace("_", "-")


def declare_inputs(parser: argparse.ArgumentParser, registry: Registry) -> None:
    """Add the options of the installed plugins, except for those that `parser` already has.

    The parsed arguments get `owners`, which maps the option of each input to the option that it
    depends on; empty for inputs of tasks.
    """
    owners = {PROMPT: ""}
    parser.set_defaults(owners=owners)

    def add_inputs(group: Any, inputs: Iterable[Input], owner: str = "") -> None:
        for one in inputs:
            if word(one) not in owners and add_option(
                group,
                word(one),
                _METAVARS.get(one.kind, "FILE"),
                (one.help or one.name) + ("" if one.required else " (default: the pipeline's)"),
            ):
                owners[word(one)] = owner

    group = parser.add_argument_group("inputs of the installed tasks")
    for task in registry.tasks:
        add_inputs(group, task.inputs)
    group = parser.add_argument_group("options of the installed plugins")
    for keyword, condition in registry.conditions.items():
        if condition.target is not None:
            about = condition.help or f"a model for {keyword}"
            about += ": a folder, a repository, or demo for the plugin's own"
            add_option(group, f"--{keyword}", "MODEL", about)
            add_inputs(group, condition.inputs, f"--{keyword}")
    for name, addon in registry.of("addon").items():
        if addon.option and f"--{addon.option}" not in group._option_string_actions:
            about = f"{addon.help or f'attach {name}'}: a file, a folder, a repository or a demo"
            about = help_text(f"{about}; STRENGTH is a number such as 0.7; repeat it for several")
            words = f"--{addon.option} FILE[:STRENGTH]"
            option(group, words, f"{about} (default: none)", many=True, dest=_dest(name))
        add_inputs(group, addon.inputs, attaching(name, addon))
    declare_stages(group, registry)


def attaching(name: str, addon: AddOn) -> str:
    """Return the option that attaches an add-on."""
    return f"--{addon.option}" if addon.option else f"--attach {name}"


def _dest(name: str) -> str:
    return f"attach {name}"


def attached_in(arguments: argparse.Namespace, registry: Registry) -> list[str]:
    """Return what is to be attached, each as `NAME` or `NAME=FILE[:STRENGTH]`."""
    own = (
        f"{name}={text}"
        for name in registry.of("addon")
        for text in getattr(arguments, _dest(name), None) or ()
    )
    return [*(arguments.attach or ()), *own]


def source_of(text: str) -> tuple[str, str | None, float]:
    """Return the name of an add-on, what it loads or None, and its strength."""
    name, _, source = text.partition("=")
    head, _, tail = source.rpartition(":")
    if head and _NUMBER.fullmatch(tail) and not os.path.exists(source):
        return name, head, float(tail)
    return name, source or None, 1.0


def task_of(
    requested: str | None,
    class_name: str,
    conditions: Iterable[str],
    given: Sequence[str],
    own: Sequence[str],
    registry: Registry,
) -> Task | None:
    """Return the requested task, else the task of the checkpoint that fits the given inputs.

    None if the checkpoint's pipeline serves no task.

    Args:
        requested: the task that the user names, or None.
        given: the options of all given inputs.
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
    task = min(candidates, key=lambda task: [len(words) for words in misfits[task]])
    useless, missing, _ = misfits[task]
    if useless or missing:
        wrong = f"the task {task} needs {listed(needs_of(task)) or 'no input'}"
        wrong += f" and doesn't use {listed(useless, 'or')}" if useless else ""
        hints = [f"{'also ' if given else ''}give {listed(missing)}"] if missing else []
        hints += [f"leave out {listed(useless)}"] if useless else []
        fit = next((t for t in registry.tasks if not any(misfits[t][:2])), task)
        if fit not in offered:
            wrong = f"{class_name} doesn't support the task {fit}: {wrong}"
        raise ArgumentError(f"{wrong}; {listed(hints)}. See 'autopipe generate --help'")
    return task


def _misfit(
    task: Task, given: Sequence[str], own: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the options that the task doesn't use, those it lacks, and those it doesn't need."""
    takes, needs = [word(one) for one in task.inputs], needs_of(task)
    return (
        [text for text in own if text not in takes],
        [text for text in needs if text not in given],
        [text for text in own if text not in needs],
    )


def needs_of(task: Task) -> list[str]:
    """Return the options of the inputs that the task requires."""
    return [word(one) for one in task.inputs if one.required]


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    *most, end = [*words] or [""]
    return f"{', '.join(most)} {last} {end}" if most else end
