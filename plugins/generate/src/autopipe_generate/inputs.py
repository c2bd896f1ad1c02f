"""The options of `generate` that are of what is installed, and the task that is meant by them.

They are read from manifests. In the parsed arguments, each goes by the word that is written on the
command line, such as `--image`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from autopipe.cli.checkpoint import tasks_of
from autopipe.cli.options import PROMPT, add_option, declare_stages
from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.tasks import Input, Task

FILES = ("image", "mask", "video", "audio")
"""The kinds of inputs that are read from files."""

_METAVARS = {"label": "LABEL", "number": "X", "text": "TEXT", "value": "JSON"}


def word(one: Input) -> str:
    """What is written for an input on the command line."""
    if one.name == "prompt":
        return PROMPT
    return "--" + (one.option or one.name).replace("_", "-")


def declare_inputs(parser: argparse.ArgumentParser, registry: Registry) -> None:
    """Add the options of what is installed. One that `parser` has already is left as it is.

    The arguments get `owners`: by the word for each input, the option that has to be given with
    it; empty for those of tasks.
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
    group = parser.add_argument_group("what the installed plugins add")
    for keyword, condition in registry.conditions.items():
        if condition.target is not None:
            about = condition.help or f"a model for {keyword}"
            about += ": a folder, a repository, or demo for that of the plugin"
            add_option(group, f"--{keyword}", "MODEL", about)
            add_inputs(group, condition.inputs, f"--{keyword}")
    for name, addon in registry.of("addon").items():
        add_inputs(group, addon.inputs, f"--attach {name}")
    declare_stages(group, registry)


def task_of(
    asked: str | None,
    class_name: str,
    conditions: Iterable[str],
    given: Sequence[str],
    own: Sequence[str],
    registry: Registry,
) -> Task | None:
    """The task asked for, else that of the checkpoint's whose inputs are those given.

    None where the checkpoint's pipeline serves no task.

    Args:
        given: the words of everything that was given.
        own: those of them that only tasks can have use for.

    Raises:
        ArgumentError: something is missing for the task, or of no use to it.
        UnsupportedCheckpointError: no installed family does this with the checkpoint.
    """
    wanted = dict.fromkeys(conditions, True)
    named = registry.resolve(class_name).pipeline.task
    offered = tasks_of(class_name, registry, wanted)
    candidates = sorted(offered, key=lambda task: task != named)
    if asked is not None or (not offered and (wanted or named)):
        chosen = named if asked is None else registry.task(asked)
        registry.resolve(class_name, chosen, wanted)  # It says what is wrong.
        candidates = [registry.task(chosen or "")]
    if not candidates:
        return None
    misfits = {task: _misfit(task, given, own) for task in registry.tasks}
    task = min(candidates, key=lambda task: [len(words) for words in misfits[task]])
    useless, missing, _ = misfits[task]
    if useless or missing:
        wrong = f"the task {task} needs {listed(needs_of(task)) or 'no input'}"
        wrong += f" and takes no {listed(useless, 'or')}" if useless else ""
        cures = [f"give {listed(missing)}" + " too" * bool(given)] if missing else []
        cures += [f"leave out {listed(useless)}"] if useless else []
        fit = next((t for t in registry.tasks if not any(misfits[t][:2])), task)
        if fit not in offered:
            wrong = f"{class_name} is not for the task {fit}: {wrong}"
        raise ArgumentError(f"{wrong}; {listed(cures)}. See 'autopipe generate --help'")
    return task


def _misfit(
    task: Task, given: Sequence[str], own: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """What the task has no use for, what is missing for it, and what it can do without."""
    takes, needs = [word(one) for one in task.inputs], needs_of(task)
    return (
        [text for text in own if text not in takes],
        [text for text in needs if text not in given],
        [text for text in own if text not in needs],
    )


def needs_of(task: Task) -> list[str]:
    """The words for what a call of the task can't do without."""
    return [word(one) for one in task.inputs if one.required]


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *most, end = [*words] or [""]
    return f"{', '.join(most)} {last} {end}" if most else end
