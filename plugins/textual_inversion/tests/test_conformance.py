"""What the kit checks: this package's manifest, and calls while a word is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.attached import check_attached

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "textual_inversion"


CHECKS = ("untouched", "batch", "threads", "copies", "views", "tasks", "placement", "attachments")


@pytest.mark.parametrize("name", CHECKS)
def test_a_family_keeps_its_promises_with_a_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(pipe: Any) -> None:
        pipe.load_textual_inversion("demo:textual_inversion", token="red")

    check_attached(name, attach, tmp_path, monkeypatch)
