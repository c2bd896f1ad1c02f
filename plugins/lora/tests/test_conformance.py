"""What the kit checks: this package's manifest, and calls while its add-on is attached."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.attached import check_attached

from autopipe_devkit.conformance import Conformance


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
    check_attached(name, lambda pipe: pipe.attach("lora", "demo:lora"), tmp_path, monkeypatch)
