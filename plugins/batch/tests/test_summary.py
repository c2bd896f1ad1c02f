"""The summary: counts, lists that end, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autopipe_batch.jobs import Line
from autopipe_batch.summary import Summary


@pytest.fixture(autouse=True)
def _out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/manifest.jsonl").touch()


def summary(**more: object) -> Summary:
    return Summary(Path("out"), Path("out/manifest.jsonl"), 10, **more)  # type: ignore[arg-type]


def test_all_done() -> None:
    found = summary(found=4, drawn=6)
    assert found.text() == "10 jobs: 6 drawn, 4 found\nout/manifest.jsonl"
    Path("out/manifest.jsonl").unlink()
    assert found.text() == "10 jobs: 6 drawn, 4 found"
    assert (found.code, found.left) == (0, 0)


def test_what_is_not_done_is_named() -> None:
    found = summary(
        drawn=6, failed={"f" * 32: "no room"}, aside={"a" * 32: "it kills"},
        wrong=[Line(3, None, "no JSON")], repeated=2, adopted=1, sheet=Path("out/sheet.png"),
    )  # fmt: skip
    Path("out/sheet.png").touch()
    text = found.text()
    assert "10 jobs: 6 drawn, 0 found, 1 failed, 1 set aside, 2 left\n" in text
    for part in (f"{'f' * 32}: no room", f"{'a' * 32}: it kills", "line 3: no JSON", "sheet.png"):
        assert part in text
    assert found.code == 1
    assert json.loads(json.dumps(found.data()))["wrong_lines"] == [{"line": 3, "error": "no JSON"}]


def test_long_lists_are_cut() -> None:
    found = summary(failed={f"{i:032}": "x" * 1000 for i in range(50)})
    assert "and 30 more" in found.text()
    assert max(map(len, found.text().splitlines())) < 400
    assert len(found.data()["failed"]) == 50


def test_jobs_are_named_with_their_lines() -> None:
    found = summary(failed={"f" * 32: "no room", "e" * 32: "no"}, lines={"f" * 32: 7})
    assert f"{'f' * 32} (line 7): no room\n" in found.text()
    assert f"{'e' * 32}: no\n" in found.text()
