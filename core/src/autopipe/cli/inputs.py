"""The options of `generate` that are of the installed tasks, conditions, add-ons and stages.

They are read from manifests. In the parsed arguments, each goes by the word that is written on the
command line, such as `--image`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from ..registry import Registry
from ..tasks import Input
from .command import option
from .text import help_text

PROMPT = "PROMPT"
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
            if word(one) not in owners and _add(
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
            _add(group, f"--{keyword}", "MODEL", about)
            add_inputs(group, condition.inputs, f"--{keyword}")
    for name, addon in registry.of("addon").items():
        add_inputs(group, addon.inputs, f"--attach {name}")
    declare_stages(group, registry)


def declare_stages(parser: Any, registry: Registry) -> None:
    """Add an option for each stage that a chain of an installed family needs."""
    for keyword in stage_keywords(registry):
        about = (
            f"the {keyword} of a checkpoint that needs one (default: that which its README names)"
        )
        _add(parser, f"--{keyword}", "CHECKPOINT", about)


def stage_keywords(registry: Registry) -> list[str]:
    """The keywords by which chains of the installed families get their other stage."""
    pipelines = (p for family in registry.families.values() for p in family.pipelines)
    return sorted({p.needs for p in pipelines if p.needs is not None})


def given_of(arguments: argparse.Namespace) -> dict[str, str]:
    """What was given of the prompt and the options that are declared here, by their words."""
    return {
        name: value
        for name, value in vars(arguments).items()
        if (name == PROMPT or name.startswith("--")) and value is not None
    }


def _add(group: Any, name: str, metavar: str, about: str) -> bool:
    """Add an option, unless there is one of that name; whether it was added."""
    is_new = name not in group._option_string_actions
    if is_new:
        option(group, f"{name} {metavar}", help_text(about), dest=name)
    return is_new
