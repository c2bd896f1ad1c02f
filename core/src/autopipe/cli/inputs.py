"""The options of `generate` that are of the installed tasks, conditions, add-ons and stages.

They are read from manifests. In the parsed arguments, each goes by the word that is written on the
command line, such as `--image`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..registry import Registry
from ..tasks import Input
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
    """Add the options of what is installed. One that `parser` has already is left as it is."""
    group = parser.add_argument_group("inputs of the installed tasks")
    for task in registry.tasks:
        for one in task.inputs:
            _add_input(group, one, f"of the task {task}")
    group = parser.add_argument_group("what the installed plugins add")
    for keyword, condition in registry.conditions.items():
        if condition.target is not None:
            about = condition.help or f"a model for {keyword}"
            about += ": a folder, a repository, or demo for that of the plugin"
            _add(group, f"--{keyword}", "MODEL", about)
            for one in condition.inputs:
                _add_input(group, one, f"with --{keyword}")
    for name, addon in registry.of("addon").items():
        for one in addon.inputs:
            _add_input(group, one, f"with --attach {name}")
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


def owner_of_word(text: str, registry: Registry) -> str:
    """The option that has to be given too where this one is; empty for those of tasks."""
    owners: Mapping[str, Any] = {
        **{f"--{keyword}": condition for keyword, condition in registry.conditions.items()},
        **{f"--attach {name}": addon for name, addon in registry.of("addon").items()},
    }
    for option, owner in owners.items():
        if text in map(word, owner.inputs):
            return option
    return ""


def _add_input(group: Any, one: Input, owner: str) -> None:
    if word(one) != PROMPT:
        default = "" if one.required else " (default: the pipeline's)"
        about = (one.help or f"{one.name}, {owner}") + default
        _add(group, word(one), _METAVARS.get(one.kind, "FILE"), about)


def _add(group: Any, option: str, metavar: str, about: str) -> None:
    if option not in group._option_string_actions:
        group.add_argument(option, dest=option, metavar=metavar, help=help_text(about))
