"""What a worker answers that can't work, by itself."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from autopipe_ray.worker import Setting, Worker, rows


def answer(make: bytes, marker: tuple[Path, str] | None, here: Path) -> Any:
    worker = Worker(Setting(make, None, 1, ledger=None, here=str(here), marker=marker))
    (row,) = worker(rows([(7, ())])).to_pylist()
    assert row["number"] == 7
    return pickle.loads(row["content"])


@pytest.mark.parametrize("text", [None, "of another machine"])
def test_a_machine_that_does_not_see_the_folder_is_named(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"
    if text is not None:
        marker.write_text(text)
    found = answer(b"", (marker, "of this one"), tmp_path)
    assert f"doesn't see the folder '{tmp_path}'" in found
    assert "share" in found


def test_what_goes_wrong_is_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = answer(b"", None, tmp_path)
    assert "can't work: AttributeError" in found
