"""The core's own manifest, declared as plugins declare theirs."""

from __future__ import annotations

from ..manifest import Command, Export, Manifest
from ..tasks import CORE as TASKS
from .discovery import Installed, Plugin
from .hints import CORE
from .public import PUBLIC
from .version import __version__

_COMMANDS = {
    "families": "list the installed families and the tasks they offer",
    "doctor": "find what is broken in this installation, and say how to fix it",
    "resolve": "show which class opens a checkpoint for a task, and why",
    "inspect": "show what a checkpoint contains, without loading it",
    "convert": "convert a single file to a folder, or a folder to a single file",
    "download": "download the files that a pipeline needs, or list them",
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
            if module != "auto"  # Auto classes come with their tasks.
        ),
    ),
)
"""The core as a plugin. Every registry has it."""
