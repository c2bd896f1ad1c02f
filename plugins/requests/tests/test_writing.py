"""Files carry their records, and appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import PIL.Image
import pytest

from autopipe.errors import ImageFileError
from autopipe_requests.pictures import texts_of
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Checkpoint, Request
from autopipe_requests.writing import write

RED = PIL.Image.new("RGB", (6, 4), "red")
REQUEST = Request(
    checkpoint=Checkpoint(name="demo:toys"), seed=7, arguments={"prompt": "赤い丸, très rouge"}
)
DRAWN = Circumstances(pipeline="Toy", device="cpu", processor="a processor")
RECORD = Record(id=REQUEST.id, request=REQUEST, drawn=DRAWN)


def test_settings_come_back_from_the_file(tmp_path: Path) -> None:
    for suffix in (".png", ".webp", ".jpg", ".PNG"):
        file = write(tmp_path / f"a{suffix}", "images", RED, RECORD, {})
        found = texts_of(file)
        assert Record.read(found["autopipe"]) == RECORD
        assert found["parameters"].startswith(RECORD.request.arguments["prompt"])
    with PIL.Image.open(tmp_path / "a.png") as png, PIL.Image.open(tmp_path / "a.webp") as webp:
        assert png.tobytes() == webp.tobytes() == RED.tobytes()


def test_what_concerns_only_the_own_machine_is_not_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    image = {"file": str(tmp_path / "private" / "photo.png"), "sha256": "0" * 64}
    request = Request(
        checkpoint=Checkpoint(name=f"{tmp_path}/models/mine"),
        seed=1,
        arguments={"image": image},
        stages={"prior": f"{tmp_path}/prior"},
    )
    record = RECORD.model_copy(update={"request": request, "id": request.id})
    text = texts_of(write(tmp_path / "a.png", "images", RED, record, {}))["autopipe"]
    assert str(tmp_path) not in text
    found = Record.read(text).request
    assert found.checkpoint.name == "~/models/mine"
    assert found.arguments["image"]["file"] == "photo.png"
    assert found.id == request.id


def test_a_prompt_that_begins_like_a_path_stays(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written, other = (
        RECORD.request.model_copy(update={"arguments": {"prompt": f"{home}/hut"}})
        for home in (tmp_path, "~")
    )
    assert written.id != other.id
    record = RECORD.model_copy(update={"request": written, "id": written.id})
    text = texts_of(write(tmp_path / "a.png", "images", RED, record, {}))["autopipe"]
    assert Record.read(text).request.arguments == written.arguments


def test_a_suffix_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"written as \.png or \.jpg"):
        write(tmp_path / "a.gif", "images", RED, RECORD, {})
    with pytest.raises(ImageFileError, match=r"audios are written as \.wav"):
        write(tmp_path / "a.png", "audios", RED, RECORD, {})


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "new" / "deep" / "a.png", "images", RED, RECORD, {})
    assert [p.name for p in (tmp_path / "new" / "deep").iterdir()] == ["a.png"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ImageFileError, match="No space left"):
        write(target, "images", RED, RECORD, {})
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def interrupted(self: object, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(PIL.Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(target, "images", RED, RECORD, {})
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "real.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(link, "images", RED, RECORD, {})
    assert link.is_symlink()
    assert PIL.Image.open(target).size == RED.size
