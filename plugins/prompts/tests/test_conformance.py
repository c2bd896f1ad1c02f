"""What the kit checks: this package's manifest, and calls while an add-on is attached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autopipe import Task
from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry
from autopipe_devkit.conformance import Conformance
from autopipe_devkit.conformance.checks import OF_A_TASK
from autopipe_devkit.conformance.subject import Subject


class TestConformance(Conformance):
    family = "prompts"


CHECKS = (
    *("half", "seed", "untouched", "batch", "repeats", "neighbours", "threads", "callback"),
    *("cancel", "copies", "views", "placement", "attachments"),
)
"""Those of calls that an add-on for prompts could break."""


@pytest.mark.parametrize("name", CHECKS)
def test_a_family_keeps_its_promises_while_one_is_attached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Subject.load

    def attached(self: Subject, *args: Any, **options: Any) -> Any:
        pipe = load(self, *args, **options)
        pipe.attach("a1111")
        return pipe

    monkeypatch.setattr(Subject, "load", attached)
    registry = default_registry()
    family = registry.families["stable_diffusion"]
    pipeline = next(p for p in family.pipelines if p.task == Task.TEXT2IMAGE)
    folder = demo_folder("stable_diffusion", registry)
    OF_A_TASK[name](Subject(family, pipeline, folder, tmp_path, Task.TEXT2IMAGE))
