"""What the kit checks: this package's manifest, and calls while its add-on is attached."""

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
    family = "lora"


CHECKS = (
    *("seed", "untouched", "batch", "neighbours", "threads", "overlap", "callback", "copies"),
    *("views", "tasks", "placement", "attachments", "effects"),
)


@pytest.mark.parametrize("name", CHECKS)
def test_a_family_keeps_its_promises_with_a_lora(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Subject.load

    def attached(self: Subject, *args: Any, **options: Any) -> Any:
        pipe = load(self, *args, **options)
        pipe.attach("lora", "demo:lora")
        return pipe

    monkeypatch.setattr(Subject, "load", attached)
    registry = default_registry()
    family = registry.families["stable_diffusion"]
    pipeline = next(p for p in family.pipelines if p.task == Task.TEXT2IMAGE)
    folder = demo_folder("stable_diffusion", registry)
    OF_A_TASK[name](Subject(family, pipeline, folder, tmp_path, Task.TEXT2IMAGE))
