"""Options that installed plugins add to commands.

In the parsed arguments, each is stored under the option itself, such as `--image`, so that names
can't collide with other arguments of a command.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..registry import Registry
from .command import option
from .text import help_text

PROMPT = "PROMPT"
"""The only one without dashes."""


def declare_stages(parser: Any, registry: Registry) -> None:
    """Add an option for each stage that a chain of an installed family needs."""
    for keyword in stage_keywords(registry):
        about = f"the {keyword} of a checkpoint that needs one (default: the one its README names)"
        add_option(parser, f"--{keyword}", "CHECKPOINT", about)


def stage_keywords(registry: Registry) -> list[str]:
    """Return the keywords of stages in chains of the installed families."""
    pipelines = (p for family in registry.families.values() for p in family.pipelines)
    return sorted({p.needs for p in pipelines if p.needs is not None})


def given_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the values of the prompt and of the options declared here, by option."""
    return {
        name: value
        for name, value in vars(arguments).items()
        if (name == PROMPT or name.startswith("--")) and value is not None
    }


def add_option(group: Any, name: str, metavar: str, about: str) -> bool:
    """Add an option unless it already exists; return whether it was added."""
    is_new = name not in group._option_string_actions
    if is_new:
        option(group, f"{name} {metavar}", help_text(about), dest=name)
    return is_new
