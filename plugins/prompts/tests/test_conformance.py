"""What the kit checks: this package's manifest, and calls while an add-on is attached."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.attached import check_attached

from autopipe_devkit.conformance import Conformance


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
    check_attached(name, lambda pipe: pipe.attach("a1111"), tmp_path, monkeypatch)
