"""What the kit checks: this package's manifest, and calls while its add-ons are attached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.attached import check_attached

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "speedups"


CHECKS = (
    *("half", "seed", "unseeded", "untouched", "batch", "repeats", "neighbours", "threads"),
    *("overlap", "callback", "cancel", "copies", "progress", "views", "tasks", "placement"),
    *("attachments", "effects"),
)
"""Those of calls, except what they demand of single steps, which may be shallow or unguided."""


@pytest.mark.parametrize("name", CHECKS)
def test_a_family_keeps_its_promises_with_all_attached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(pipe: Any) -> None:
        pipe.attach("step_cache", interval=2)
        pipe.attach("guidance_interval")
        pipe.attach("guidance_halves", halves="in turn")

    check_attached(name, attach, tmp_path, monkeypatch)
