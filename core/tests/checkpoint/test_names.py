from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.checkpoint.names import inside, is_plain, parts_of, plain_name
from autopipe.errors import ArgumentError, UnsafeCheckpointError

HOSTILE = ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "C:x", "a\0b", "a\nb", "x" * 300]


@pytest.mark.parametrize("name", [*HOSTILE, None, 3, ["unet"], {"a": 1}])
def test_names_that_could_lead_out_are_refused(name: object) -> None:
    assert not is_plain(name)
    with pytest.raises(UnsafeCheckpointError, match=r"index\.json"):
        plain_name(name, "index.json")


@given(st.text())
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if is_plain(name):
        place = Path("/folder") / name
        assert place.parent == Path("/folder")
        assert place.name == name


@pytest.mark.parametrize(
    ("given", "parts"),
    [(None, ()), ("", ()), ("unet", ("unet",)), ("a/b/", ("a", "b")), (Path("a/b"), ("a", "b"))],
)
def test_a_subfolder_may_be_nested(given: str | Path | None, parts: tuple[str, ...]) -> None:
    assert parts_of(given) == parts


@pytest.mark.parametrize("subfolder", ["../x", "/abs", "a/../../b", "a//b"])
def test_a_subfolder_stays_inside(subfolder: str) -> None:
    with pytest.raises(ArgumentError, match="inside the checkpoint"):
        parts_of(subfolder)


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    root = tmp_path / "checkpoint"
    (root / "unet").mkdir(parents=True)
    (root / "unet" / "own").write_text("y")
    (root / "near").symlink_to(root / "unet" / "own")
    (root / "far").symlink_to(secret)
    assert inside(root, "near") == root / "near"
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        inside(root, "far")


def test_a_checkpoint_reached_by_a_link_is_inside_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "file").read_text() == "x"


def test_the_blobs_of_the_hubs_cache_are_inside(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--owner--name" / "blobs"
    (snapshot / "unet").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_text("x")
    (snapshot / "unet" / "file").symlink_to("../../../blobs/123")
    assert inside(snapshot, "unet/file").read_text() == "x"
    assert inside(snapshot / "unet", "file").read_text() == "x"
