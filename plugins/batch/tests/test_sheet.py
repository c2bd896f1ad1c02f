"""Contact sheets: which image is where, how sheets look, and what they never replace."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from autopipe.errors import ArgumentError
from autopipe_batch.sheet import (
    MOST_LABELS,
    Axis,
    Layout,
    draw_sheet,
    layout,
    mark_of,
    sheet_option,
    write_sheet,
)

PROMPTS, ONE = Axis("prompt", ("a hut", "a tree")), Axis("prompt", ("a hut",))
SCHEDULERS, GUIDANCE = Axis("scheduler", ("ddim", "euler")), Axis("guidance", ("3", "5", "7"))
SEEDS = Axis("seed", ("+0", "+1"))


def places(axes: tuple[Axis, ...], **asked: str) -> dict[str, list[list[int]]]:
    return dict(layout(axes, asked).panels())


def test_two_sweeps_are_rows_and_columns() -> None:
    found = layout((ONE, SCHEDULERS, GUIDANCE), {})
    assert (found.rows, found.columns) == (SCHEDULERS, GUIDANCE)
    assert dict(found.panels()) == {"a hut": [[0, 1, 2], [3, 4, 5]]}


def test_each_job_has_a_panel() -> None:
    assert places((PROMPTS, SCHEDULERS, GUIDANCE)) == {
        "a hut": [[0, 1, 2], [3, 4, 5]],
        "a tree": [[6, 7, 8], [9, 10, 11]],
    }


def test_rows_and_columns_can_be_chosen() -> None:
    axes = (PROMPTS, SCHEDULERS, GUIDANCE)
    turned = places(axes, rows="guidance", columns="scheduler")
    assert turned["a hut"] == [[0, 3], [1, 4], [2, 5]]
    assert places(axes, columns="scheduler") == turned
    assert places(axes, rows="guidance") == turned
    assert places(axes, rows="prompt") == {
        "scheduler ddim": [[0, 1, 2], [6, 7, 8]],
        "scheduler euler": [[3, 4, 5], [9, 10, 11]],
    }


def test_one_sweep_has_a_row_for_each_seed_or_job() -> None:
    assert places((PROMPTS, GUIDANCE)) == {"": [[0, 1, 2], [3, 4, 5]]}
    assert places((ONE, GUIDANCE)) == {"a hut": [[0, 1, 2]]}
    assert places((ONE, GUIDANCE, SEEDS)) == {"a hut": [[0, 2, 4], [1, 3, 5]]}


def test_a_third_sweep_has_panels() -> None:
    found = places((ONE, SCHEDULERS, GUIDANCE, Axis("steps", ("1", "2"))))
    assert found == {
        "a hut, steps 1": [[0, 2, 4], [6, 8, 10]],
        "a hut, steps 2": [[1, 3, 5], [7, 9, 11]],
    }


def test_without_a_sweep_there_are_prompts_and_seeds() -> None:
    assert places((PROMPTS, SEEDS), columns="seed") == {"": [[0, 1], [2, 3]]}
    assert places((ONE,)) == {"": [[0]]}


def test_every_image_is_on_the_sheet_once() -> None:
    axes = (PROMPTS, SCHEDULERS, GUIDANCE, SEEDS)
    for rows in [axis.name for axis in axes]:
        for columns in [axis.name for axis in axes if axis.name != rows]:
            found = places(axes, rows=rows, columns=columns)
            flat = [place for panel in found.values() for row in panel for place in row]
            assert sorted(flat) == list(range(24)), (rows, columns)


def test_very_many_images_are_cut() -> None:
    many = Axis("a", tuple(map(str, range(1000)))), Axis("b", tuple(map(str, range(1000))))
    panels = list(layout((PROMPTS, *many), {}).panels())
    assert len(panels) == 1
    assert panels[0][1][1][:2] == [1000, 1001]
    assert len(panels[0][1]) == len(panels[0][1][0]) == MOST_LABELS
    panels = list(layout((Axis("prompt", ("x",) * 10**5), SCHEDULERS, GUIDANCE), {}).panels())
    assert len(panels) == 166


@pytest.mark.parametrize("asked", [{"rows": "stepz"}, {"rows": "guidance", "columns": "guidance"}])
def test_axes_that_are_not_there(asked: dict[str, str]) -> None:
    with pytest.raises(ArgumentError, match="--sheet"):
        layout((PROMPTS, GUIDANCE, SCHEDULERS), asked)


def test_the_option() -> None:
    assert sheet_option("rows=a, columns=b-c") == {"rows": "a", "columns": "b_c"}
    assert sheet_option("columns=b") == {"columns": "b"}
    for text in ("", "a=b", "rows", "rows=", "rows=a,rows=b", "rows=a,columns=b,c=d"):
        with pytest.raises(ArgumentError, match="rows=NAME,columns=NAME"):
            sheet_option(text)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    names = [tmp_path / f"{i}.png" for i in range(6)]
    for i, file in enumerate(names):
        PIL.Image.new("RGB", (64, 32), (40 * i, 0, 255 - 40 * i)).save(file)
    return names


def test_images_are_enlarged_in_their_places_on_white(files: list[Path]) -> None:
    where = layout((ONE, SCHEDULERS, GUIDANCE), {})
    panels = [(title, [[files[i] for i in row] for row in rows]) for title, rows in where.panels()]
    found = draw_sheet(panels, where)
    colors = {(40 * i, 0, 255 - 40 * i): i for i in range(6)}
    centres: dict[int, list[tuple[int, int]]] = {i: [] for i in range(6)}
    for x in range(0, found.width, 2):
        for y in range(0, found.height, 2):
            if (place := colors.get(found.getpixel((x, y)))) is not None:  # type: ignore[arg-type]
                centres[place].append((x, y))
    middle = {i: [sum(axis) / len(all) for axis in zip(*all)] for i, all in centres.items()}
    assert all(len(all) == 256 * 128 / 4 for all in centres.values())
    assert middle[0][0] < middle[1][0] < middle[2][0]
    assert middle[0][1] == middle[1][1] == middle[2][1] < middle[3][1]
    assert middle[3][0] == middle[0][0]
    assert found.getpixel((0, 0)) == found.getpixel((found.width - 1, 0)) == (255, 255, 255)


def test_labels_are_written_where_nothing_else_is(files: list[Path]) -> None:
    def ink(labels: tuple[str, ...]) -> int:
        where = Layout((ONE, Axis("x", labels)), None, Axis("x", labels))
        found = draw_sheet([("", [files[:2]])], where).convert("L")
        return sum(found.crop((0, 0, found.width, 34)).histogram()[:100])

    assert 0 < ink(("1", "2")) < ink(("1111", "2222")) < ink(("word " * 90, "word " * 90))


def test_an_absent_or_damaged_image_is_an_empty_cell(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(files[0].read_bytes()[:60])
    where = layout((Axis("prompt", ("a", "b", "c", "d")),), {})
    row = [files[0], None, tmp_path / "absent.png", tmp_path / "bad.png"]
    found = draw_sheet([("", [row])], where)
    assert found.width > 4 * 256


def test_large_images_are_reduced(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (3000, 1500), "red").save(tmp_path / "large.png")
    found = draw_sheet([("", [[tmp_path / "large.png"]])], layout((ONE,), {}))
    assert found.width < 300


def test_a_sheet_says_what_it_shows(tmp_path: Path, files: list[Path]) -> None:
    sheet = PIL.Image.new("RGB", (9, 9))
    assert mark_of(tmp_path / "sheet.png") is None
    write_sheet(sheet, tmp_path / "sheet.png", "abc")
    assert mark_of(tmp_path / "sheet.png") == "abc"
    assert mark_of(files[0]) == ""
    (tmp_path / "text").write_text("x")
    assert mark_of(tmp_path / "text") == mark_of(tmp_path) == ""
