"""Manifests and files compared: what is done, found, drawn again, or left aside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import PIL.Image
import pytest

from autopipe_batch.history import Entry, History
from autopipe_batch.reconcile import Reconciled, id_in, reconcile
from autopipe_requests.record import KEY, Circumstances, Record
from autopipe_requests.request import Checkpoint, Request

A, B = "a" * 32, "b" * 32


def done(folder: Path, id: str, content: bytes = b"picture", suffix: str = ".png") -> Entry:
    (folder / f"{id}{suffix}").write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    return Entry(id=id, state="done", file=f"{id}{suffix}", sha256=sha)


def reconciled(folder: Path, *entries: Entry, **options: object) -> Reconciled:
    history = History()
    for one in entries:
        history.add(one)
    return reconcile([A, B], folder, history, **options)  # type: ignore[arg-type]


def test_a_new_folder_has_all_to_do(tmp_path: Path) -> None:
    assert reconciled(tmp_path / "absent") == Reconciled(todo=[A, B])


def test_what_is_done_is_verified(tmp_path: Path) -> None:
    entries = [done(tmp_path, A), done(tmp_path, B)]
    assert reconciled(tmp_path, *entries) == Reconciled(done=[A, B])
    (tmp_path / f"{A}.png").unlink()
    (tmp_path / f"{B}.png").write_bytes(b"pictur")
    found = reconciled(tmp_path, *entries)
    assert found.todo == [A, B]
    assert found.again == {A: f"{A}.png is missing", B: f"{B}.png has changed"}
    trusting = reconciled(tmp_path, *entries, trust=True)
    assert (trusting.todo, trusting.done) == ([A], [B])


def test_a_file_without_a_line_is_adopted_if_it_is_whole(tmp_path: Path) -> None:
    done(tmp_path, A), done(tmp_path, B)
    found = reconciled(tmp_path, read_id=lambda file: A if file.stem == A else None)
    assert found.done == [A]
    assert found.adopted == {A: (f"{A}.png", hashlib.sha256(b"picture").hexdigest())}
    assert found.todo == [B]
    assert found.again == {B: f"{B}.png is not a whole file of this request"}


def test_a_file_of_another_request_is_not_adopted(tmp_path: Path) -> None:
    done(tmp_path, A)
    assert reconciled(tmp_path, read_id=lambda file: B).todo == [A, B]


def test_a_worker_may_die_after_it_has_written(tmp_path: Path) -> None:
    done(tmp_path, A)
    aside = Entry(id=A, state="set aside")
    found = reconciled(tmp_path, aside, read_id=lambda file: A)
    assert (found.done, found.aside) == ([A], {})


def test_what_failed_is_tried_again_and_what_kills_is_not(tmp_path: Path) -> None:
    failed, aside = Entry(id=A, state="failed"), Entry(id=B, state="set aside", error="why")
    found = reconciled(tmp_path, failed, aside)
    assert (found.todo, found.aside) == ([A], {B: aside})
    assert reconciled(tmp_path, failed, aside, retry=True).todo == [A, B]


def test_deaths_in_two_runs_are_two(tmp_path: Path) -> None:
    died = Entry(id=A, state="died")
    assert reconciled(tmp_path, died).todo == [A, B]
    assert list(reconciled(tmp_path, died, died).aside) == [A]


def test_another_type_of_image_is_drawn_beside(tmp_path: Path) -> None:
    entry = done(tmp_path, A)
    found = reconciled(tmp_path, entry, image="jpeg")
    assert (found.todo, found.again) == ([A, B], {})
    clip = done(tmp_path, B, suffix=".gif")
    assert reconciled(tmp_path, clip, image="webp").done == [B]


def test_links_and_folders_are_no_results(tmp_path: Path) -> None:
    entry = done(tmp_path, A)
    (tmp_path / f"{A}.png").rename(tmp_path / "elsewhere")
    (tmp_path / f"{A}.png").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{B}.png").mkdir()
    assert reconciled(tmp_path, entry).todo == [A, B]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from autopipe_requests.pictures import save_image

    request = Request(checkpoint=Checkpoint(name="demo"), seed=1)
    drawn = Circumstances(pipeline="P", device="cpu", processor="p")
    record = Record(id=request.id, request=request, drawn=drawn)
    image = PIL.Image.effect_noise((64, 64), 50).convert("RGB")
    file = tmp_path / f"{request.id}.png"
    save_image(image, file, {KEY: record.text()})
    return file


def test_the_record_of_a_whole_image_names_its_request(picture: Path) -> None:
    assert id_in(picture) == picture.stem


def test_half_an_image_names_nothing(picture: Path) -> None:
    content = picture.read_bytes()
    for length in (0, 20, len(content) // 2, len(content) - 30):
        picture.write_bytes(content[:length])
        assert id_in(picture) is None, length
    picture.unlink()
    assert id_in(picture) is None


def test_an_image_without_a_record_names_nothing(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert id_in(tmp_path / "x.png") is None
