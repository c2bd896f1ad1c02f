"""Several images stand on a contact sheet."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from autopipe_generate.results import contact_sheet, write
from autopipe_requests.drawing import Drawn
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Checkpoint, Request

RED = PIL.Image.new("RGB", (6, 4), "red")


@pytest.mark.parametrize(
    ("count", "size"), [(2, (12, 4)), (3, (12, 8)), (4, (12, 8)), (5, (18, 8))]
)
def test_a_sheet_shows_all_in_reading_order(count: int, size: tuple[int, int]) -> None:
    shades = [PIL.Image.new("RGB", RED.size, (i, 0, 0)) for i in range(count)]
    sheet = contact_sheet(shades)
    assert sheet.size == size
    columns = size[0] // RED.width
    for i in range(count):
        row, column = divmod(i, columns)
        assert sheet.getpixel((column * RED.width, row * RED.height)) == (i, 0, 0)
    if count == 3:
        assert sheet.getpixel((RED.width, RED.height)) == (255, 255, 255)


def test_the_records_on_a_sheet_name_no_folders_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    request = Request(
        checkpoint=Checkpoint(name=f"{tmp_path}/mine"),
        seed=1,
        arguments={"image": {"file": f"{tmp_path}/private/photo.png", "sha256": "0" * 64}},
    )
    circumstances = Circumstances(pipeline="Paint", device="cpu", processor="A")
    record = Record(id=request.id, request=request, drawn=circumstances)
    drawn = [Drawn(field="images", value=RED, record=record, rates={}) for _ in range(2)]
    write(drawn, tmp_path / "a.png")
    for name in ("a.png", "a-1.png"):
        with PIL.Image.open(tmp_path / name) as written:
            text = written.text["autopipe"]  # type: ignore[attr-defined]
        assert "photo.png" in text
        assert str(tmp_path) not in text
        assert "private" not in text
