from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autopipe.checkpoint.atomic import check_whole, replaced_folder
from autopipe.errors import ArgumentError, ArgumentTypeError, CheckpointError


def nothing(folder: Path) -> list[Path]:
    return []


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()
    }


def write_and_fail(target: Path, error: Exception) -> None:
    with replaced_folder(target, nothing) as folder:
        (folder / "a").write_text("new a")
        raise error


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("old a")
    (folder / "b").write_text("old b")
    (folder / "sub" / "c").write_text("old c")
    (folder / "link").symlink_to("a")
    return folder


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with replaced_folder(target, nothing) as folder:
        (folder / "a").write_text("new")
        assert not (target / "a").exists()
    assert content(target) == {"a": "new"}
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_other_files_stay_and_stale_ones_go(old: Path) -> None:
    with replaced_folder(old, lambda folder: [folder / "b"]) as folder:
        (folder / "a").write_text("new a")
    assert content(old) == {"a": "new a", "sub/c": "old c", "link": "new a"}
    assert (old / "link").is_symlink()


def test_an_error_leaves_the_old_folder(old: Path) -> None:
    before = content(old)
    with pytest.raises(RuntimeError):
        write_and_fail(old, RuntimeError())
    assert content(old) == before
    with replaced_folder(old, nothing) as folder:
        (folder / "a").write_text("new a")
    assert content(old) == {**before, "a": "new a", "link": "new a"}
    assert [p.name for p in old.parent.iterdir()] == ["target"]


def test_an_error_leaves_no_new_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path / "target", RuntimeError())
    assert list(tmp_path.iterdir()) == []


def save(target: Path, *, stale: tuple[str, ...] = ()) -> None:
    """Save something with two heads and nested folders."""
    with replaced_folder(target, lambda folder: [folder / name for name in stale]) as folder:
        for name in ("unet", "unet/deep", "new"):
            (folder / name).mkdir()
        for name in ("model_index.json", "unet/config.json", "unet/w", "unet/deep/x", "new/y"):
            (folder / name).write_text("new")


OLD = dict.fromkeys(("model_index.json", "unet/config.json", "unet/w", "unet/v"), "old")
NEW = dict.fromkeys(
    ("model_index.json", "unet/config.json", "unet/w", "unet/deep/x", "new/y"), "new"
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make_old(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def make_old(target: Path) -> None:
    (target / "unet").mkdir(parents=True)
    for name, text in OLD.items():
        (target / name).write_text(text)


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "busy"), KeyboardInterrupt()])
def test_an_error_at_any_rename_puts_everything_back(
    checkpoint: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example: a single file of the checkpoint is mounted, and can't be replaced."""
    rename, fails_at = os.rename, 0

    def counted(*paths: object, **keywords: object) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise error
        rename(*paths, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", counted)
    seen = []
    for fails_at in range(1, 100):
        calls = 0
        try:
            save(checkpoint, stale=("unet/v",))
        except (CheckpointError, KeyboardInterrupt) as caught:
            said = str(caught)
            assert "unchanged" in said or not said
            assert content(checkpoint) == OLD, f"at rename {fails_at}"
            assert os.listdir(checkpoint.parent) == ["checkpoint"]
            seen.append("old")
        else:
            # What only brings a file near is done by copying, too.
            assert content(checkpoint) == NEW
            seen.append("new")
            shutil.rmtree(checkpoint)
            make_old(checkpoint)
        if calls < fails_at:
            break
    assert seen.count("old") > 8
    assert seen[-1] == "new"


def test_folders_that_are_not_the_checkpoints_stay_as_they_are(checkpoint: Path) -> None:
    """Their number, their mode and owner, what is written into them meanwhile, and mounts."""
    (checkpoint / "empty/inner").mkdir(parents=True)
    (checkpoint / "mine").mkdir(0o700)
    (checkpoint / "mine" / "model_index.json").write_text("mine")
    (checkpoint / "unet" / "mine").mkdir(0o701)
    (checkpoint / "unet" / "notes.txt").write_text("mine")
    checkpoint.chmod(0o2775)
    before = {p: os.stat(p) for p in (checkpoint, *checkpoint.rglob("*")) if p.is_dir()}
    with replaced_folder(checkpoint, lambda folder: [folder / "unet/v"]) as folder:
        (folder / "unet").mkdir()
        (folder / "unet/w").write_text("new")
        (folder / "made").mkdir()
        (checkpoint / "meanwhile").write_text("mine")
    after = {p: os.stat(p) for p in before}
    for one in ("st_ino", "st_mode", "st_uid", "st_gid"):
        assert [getattr(s, one) for s in before.values()] == [
            getattr(s, one) for s in after.values()
        ]
    assert content(checkpoint) == {
        "model_index.json": "old",
        "unet/config.json": "old",
        "unet/w": "new",
        "unet/notes.txt": "mine",
        "mine/model_index.json": "mine",
        "meanwhile": "mine",
    }
    # A folder of a group stays one.
    assert (checkpoint / "made").stat().st_mode & 0o2000


def test_a_subfolder_that_is_a_link_is_replaced_and_not_written_through(
    checkpoint: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    (checkpoint / "unet").rename(shared)
    (checkpoint / "unet").symlink_to(shared)
    save(checkpoint, stale=("unet/v",))
    assert {"model_index.json": "new", "unet/w": "new"}.items() <= content(checkpoint).items()
    assert content(shared) == {"config.json": "old", "w": "old", "v": "old"}


@pytest.mark.parametrize("name", ["model_index.json", "unet"])
def test_a_folder_in_the_place_of_a_file_is_refused_and_the_other_way_round(
    tmp_path: Path, name: str
) -> None:
    target = tmp_path / "checkpoint"
    target.mkdir()
    if name == "unet":
        (target / name).write_text("mine")
    else:
        (target / name).mkdir()
    with pytest.raises(CheckpointError, match=rf"{name} is a .*move it away"):
        save(target)
    assert os.listdir(target) == [name]


@pytest.mark.parametrize("place", ["checkpoint", "checkpoint/unet", "checkpoint/unet/w"])
def test_mounts_are_saved_into(checkpoint: Path, place: str) -> None:
    """A volume as the folder, as a subfolder, or as a file, which can't be replaced."""
    target = checkpoint.parent / place
    elsewhere = checkpoint.parent / "elsewhere"
    target.rename(elsewhere)
    target.touch() if target.name == "w" else target.mkdir()
    with mounted(elsewhere, target):
        if target.name == "w":
            with pytest.raises(CheckpointError, match="unchanged"):
                save(checkpoint)
            assert content(checkpoint) == OLD
        else:
            save(checkpoint, stale=("unet/v",))
            assert content(checkpoint) == NEW


@contextmanager
def mounted(what: Path, at: Path) -> Iterator[None]:
    try:
        done = subprocess.run(["mount", "--bind", what, at], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("this user may not mount anything")
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


def test_a_subfolder_on_another_file_system_is_copied_to(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def of_one_file_system(one: Path, other: Path) -> None:
        if Path(one).is_relative_to(checkpoint / "unet") != Path(other).is_relative_to(
            checkpoint / "unet"
        ):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(one, other)

    monkeypatch.setattr(os, "rename", of_one_file_system)
    save(checkpoint, stale=("unet/v",))
    assert content(checkpoint) == NEW


def test_nothing_beside_the_target_is_needed(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a folder of one's own inside one that isn't."""
    mkdir = os.mkdir

    def inside_only(path: Path, *arguments: object, **keywords: object) -> None:
        if Path(path).parent == checkpoint.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        mkdir(path, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", inside_only)
    save(checkpoint, stale=("unet/v",))
    assert content(checkpoint) == NEW


def test_two_at_a_time_are_not_mixed(checkpoint: Path) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            for _ in range(10):
                with replaced_folder(checkpoint, nothing) as folder:
                    (folder / "unet").mkdir()
                    for name in ("unet/w", "unet/config.json", "unet/v", "model_index.json"):
                        (folder / name).write_text(str(number))
            os._exit(0)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    assert len(set(content(checkpoint).values())) == 1
    assert content(checkpoint).keys() == OLD.keys()


def test_a_folder_that_is_half_saved_is_named_until_the_next_save(checkpoint: Path) -> None:
    (checkpoint / "unet/config.json").rename(checkpoint / "unet/config.json.saving")
    check_whole(checkpoint)
    with pytest.raises(CheckpointError, match=r"unet is incomplete.*Save again; or, if"):
        check_whole(checkpoint / "unet")
    save(checkpoint, stale=("unet/v",))
    assert content(checkpoint) == NEW
    # Where there was no head before, there is nothing to put back.
    (checkpoint / "model_index.json").unlink()
    (checkpoint / "model_index.json.saving").touch()
    with pytest.raises(CheckpointError, match=r"is incomplete.*Save again$"):
        check_whole(checkpoint)
    before = content(checkpoint)
    with pytest.raises(CheckpointError, match=r"disk is full.*is incomplete"):
        write_and_fail(checkpoint, OSError(errno.ENOSPC, "No space left on device"))
    assert content(checkpoint) == before


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (None, ArgumentTypeError),
        (5, ArgumentTypeError),
        (b"bytes", ArgumentTypeError),
        (["a"], ArgumentTypeError),
        ("", ArgumentError),
        ("a\0b", ArgumentError),
        ("a\ud83d", ArgumentError),
        ("x" * 300, CheckpointError),
        ("~nobody-of-that-name/" + "x" * 300, CheckpointError),
    ],
)
def test_what_can_not_be_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, error: type
) -> None:
    monkeypatch.chdir(tmp_path)
    entered = False
    with pytest.raises(error), replaced_folder(target, nothing):  # type: ignore[arg-type]
        entered = True
    assert not entered


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ArgumentError, match="give an absolute path"):
        save("x")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x" * 255, "a b", "\u00fcn\u00efcode", "-rf", "*", "[x]"])
def test_what_can_be_a_folder_is_saved_into(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        save(tmp_path / name)
    assert content(tmp_path / name) == NEW


def test_a_full_disk_is_said_and_leaves_the_old_folder(old: Path) -> None:
    before = content(old)
    with pytest.raises(CheckpointError, match=r"disk is full.*unchanged"):
        write_and_fail(old, OSError(errno.ENOSPC, "No space left on device"))
    assert content(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["target"]


def test_the_folder_one_stands_in_keeps_its_place(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(old / "sub")
    with replaced_folder("..", lambda folder: [folder / "b"]) as folder:
        (folder / "a").write_text("new a")
    assert Path.cwd() == old / "sub"
    assert content(old) == {"a": "new a", "sub/c": "old c", "link": "new a"}


def test_a_link_to_a_folder_stays_a_link(old: Path) -> None:
    link = old.parent / "link"
    link.symlink_to(old)
    with replaced_folder(link, nothing) as folder:
        (folder / "a").write_text("new a")
    assert link.is_symlink()
    assert (old / "a").read_text() == "new a"


SAVING = """
import sys
from autopipe.checkpoint.atomic import replaced_folder
with replaced_folder(sys.argv[1], lambda folder: []) as folder:
    (folder / "a").write_text(sys.argv[2])
    print(folder, flush=True)
    sys.stdin.readline()
"""


def start_saving(target: Path, text: str) -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of a save, and its temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(target), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks that end with a process")
def test_what_a_killed_save_left_goes_with_the_next(old: Path) -> None:
    (old / ".autopipe-saving-notes").write_text("mine")
    killed, left = start_saving(old, "of the killed")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (left / "a").read_text() == "of the killed"
    (old / "sub" / f"{left.name}-3").write_text("of the killed too")
    living, in_use = start_saving(old, "of the living")
    with replaced_folder(old, nothing) as folder:
        (folder / "a").write_text("new a")
    assert content(old)["a"] == "new a"
    assert not left.exists()
    assert (in_use / "a").read_text() == "of the living"
    living.communicate("go on\n")
    assert living.returncode == 0
    assert content(old)["a"] == "of the living"
    assert {p.name for p in old.rglob("*")} == {
        "a", "b", "sub", "c", "link", ".autopipe-saving-notes"
    }  # fmt: skip
