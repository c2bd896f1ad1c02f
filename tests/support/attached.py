"""Checks of the conformance kit on a pipeline to which something is attached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopipe import Task
from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry
from autopipe_devkit.conformance.checks import OF_A_TASK
from autopipe_devkit.conformance.subject import Subject


def check_attached(
    check: str, attach: Callable[[Any], object], folder: Path, patch: pytest.MonkeyPatch
) -> None:
    """Run a check on the demo of Stable Diffusion, after `attach(pipe)`."""
    load = Subject.load

    def loaded(self: Subject, *args: Any, **options: Any) -> Any:
        pipe = load(self, *args, **options)
        attach(pipe)
        return pipe

    patch.setattr(Subject, "load", loaded)
    registry = default_registry()
    family = registry.families["stable_diffusion"]
    pipeline = next(p for p in family.pipelines if p.task == Task.TEXT2IMAGE)
    demo = demo_folder("stable_diffusion", registry)
    OF_A_TASK[check](Subject(family, pipeline, demo, folder, Task.TEXT2IMAGE))
