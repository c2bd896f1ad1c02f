"""What the core itself brings, declared by the means that plugins use."""

from __future__ import annotations

from ..manifest import Command, Export, Manifest
from ..tasks import CORE as TASKS
from .discovery import Installed, Plugin
from .hints import CORE
from .public import PUBLIC
from .version import __version__

_COMMANDS = {
    "families": "list the installed families and the tasks they offer",
    "doctor": "find what is broken in this installation, and say what mends it",
    "resolve": "tell which class opens a checkpoint for a task, and why",
    "inspect": "show what a checkpoint holds, without loading it",
    "download": "fetch what a pipeline needs of a checkpoint, or list it",
}

OWN = Installed(
    Plugin("core", CORE, __version__),
    Manifest(
        name="core",
        tasks=TASKS,
        commands=tuple(
            Command(name, f"autopipe.cli.{name}:declare", text) for name, text in _COMMANDS.items()
        ),
        exports=tuple(
            Export(name, f"autopipe.{module}:{name}")
            for name, module in PUBLIC.items()
            if module != "auto"  # Those come with their tasks.
        ),
    ),
)
"""The core as a plugin of itself. Every registry has it."""
