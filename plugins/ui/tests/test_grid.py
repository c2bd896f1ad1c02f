"""Grids of two fields."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from autopipe_ui.fields import Field
from autopipe_ui.grid import MOST_CELLS, grid_of

FIELDS = {
    "steps": Field("steps", "integer", least=1),
    "scale": Field("scale", "number"),
    "prompt": Field("prompt", "text"),
}


def test_without_values_there_is_one_cell() -> None:
    grid = grid_of([("", ""), (None, "3"), ("steps", " ")], FIELDS)
    assert grid.changes == ({},)
    assert grid.captions == [""]


def test_cells_are_all_pairs(tmp_path: Path) -> None:
    grid = grid_of([("steps", "1..2"), ("scale", "0.5, 2, 3")], FIELDS)
    assert grid.changes[:4] == (
        {"steps": 1, "scale": 0.5}, {"steps": 1, "scale": 2.0}, {"steps": 1, "scale": 3.0},
        {"steps": 2, "scale": 0.5},
    )  # fmt: skip
    assert grid.captions[-1] == "steps 2, scale 3.0"
    files = []
    for number, colour in enumerate(("red", "green", "blue", "white", "black", "yellow")):
        files.append(tmp_path / f"{number}.png")
        PIL.Image.new("RGB", (8, 8), colour).save(files[-1])
    with PIL.Image.open(grid.sheet(files, tmp_path)) as sheet:
        assert sheet.width > sheet.height
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20) or ()}
    assert {(255, 0, 0), (0, 0, 255), (255, 255, 0)} <= colours


def test_texts_may_have_commas() -> None:
    grid = grid_of([("prompt", '["a, b", "c"]')], FIELDS)
    assert grid.changes == ({"prompt": "a, b"}, {"prompt": "c"})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("steps", "1,,2")], "the grid is not valid"),
        ([("steps", "1,1")], "the grid is not valid"),
        ([("steps", "0, 1")], "Steps is at least 1"),
        ([("steps", "1,2"), ("steps", "3,4")], "twice"),
        ([("steps", "1..50"), ("scale", "1..3")], f"draws {MOST_CELLS}"),
    ],
)
def test_grids_that_are_not_valid(rows: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        grid_of(rows, FIELDS)
