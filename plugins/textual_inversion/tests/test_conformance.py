"""What the kit checks: this package's manifest, and calls while a word is loaded."""

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
    family = "textual_inversion"


CHECKS = ("untouched", "batch", "threads", "copies", "views", "tasks", "placement", "attachments")


@pytest.mark.parametrize("name", CHECKS)
def test_a_family_keeps_its_promises_with_a_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Subject.load

    def attached(self: Subject, *args: Any, **options: Any) -> Any:
        pipe = load(self, *args, **options)
        pipe.load_textual_inversion("demo:textual_inversion", token="red")
        return pipe

    monkeypatch.setattr(Subject, "load", attached)
    registry = default_registry()
    family = registry.families["stable_diffusion"]
    pipeline = next(p for p in family.pipelines if p.task == Task.TEXT2IMAGE)
    folder = demo_folder("stable_diffusion", registry)
    OF_A_TASK[name](Subject(family, pipeline, folder, tmp_path, Task.TEXT2IMAGE))
