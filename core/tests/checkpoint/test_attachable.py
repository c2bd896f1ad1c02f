"""Files that get attached to a pipeline, wherever they lie."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autopipe.checkpoint.attachable import open_tensors
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    AutopipeError,
    CheckpointError,
    DamagedFileError,
    UnsafeCheckpointError,
)

ONES = {"a.weight": torch.ones(2, 3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(ONES, tmp_path / "one.safetensors", {"trigger": "ink"})
    torch.save({"image": {"weight": torch.zeros(2)}, "name": "x", "list": [1, 2.0, None]},
               tmp_path / "two.bin")  # fmt: skip
    (tmp_path / "sub").mkdir()
    save_file({"b": torch.zeros(1)}, tmp_path / "sub/three.safetensors")
    return tmp_path


def test_a_file_of_each_format(folder: Path) -> None:
    one = open_tensors(folder / "one.safetensors")
    assert torch.equal(one.tensors["a.weight"], ONES["a.weight"])
    assert one.metadata == {"trigger": "ink"}
    assert one.path == folder / "one.safetensors"
    two = open_tensors(str(folder / "two.bin"))
    assert two.content["name"] == "x"
    assert two.content["list"] == [1, 2.0, None]
    assert torch.equal(two.content["image"]["weight"], torch.zeros(2))
    with pytest.raises(DamagedFileError, match="not a plain state dict"):
        _ = two.tensors


def test_a_folder_by_names_subfolder_and_weight_name(folder: Path) -> None:
    assert set(open_tensors(folder).tensors) == {"a.weight"}
    assert set(open_tensors(folder, subfolder="sub").tensors) == {"b"}
    assert set(open_tensors(folder, weight_name="sub/three.safetensors").tensors) == {"b"}
    assert "name" in open_tensors(folder, use_safetensors=False).content
    assert "name" in open_tensors(folder, names=("two.*", "*.safetensors")).content


def test_a_state_dict_and_a_nested_one(folder: Path) -> None:
    given = open_tensors(ONES)
    assert given.tensors == ONES
    assert given.path is None
    torch.save({"state_dict": ONES}, folder / "nested.ckpt")
    assert set(open_tensors(folder / "nested.ckpt").tensors) == {"a.weight"}


def test_a_link_to_a_file_that_the_caller_names_is_followed(folder: Path, tmp_path) -> None:
    link = tmp_path / "sub" / "link.safetensors"
    link.symlink_to(folder / "one.safetensors")
    assert set(open_tensors(link).tensors) == {"a.weight"}
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        open_tensors(folder / "sub", weight_name="link.safetensors")
    found = open_tensors(folder / "sub", weight_name="link.safetensors", follow_links=True)
    assert set(found.tensors) == {"a.weight"}


@pytest.mark.parametrize(
    ("given", "options", "error", "text"),
    [
        (7, {}, ArgumentTypeError, "a path, a repository id or a state dict, not 7"),
        (None, {}, ArgumentTypeError, "not None"),
        ("", {}, CheckpointError, ""),
        ("{}/absent.safetensors", {}, CheckpointError, "there is no folder"),
        ("{}", {"weight_name": "absent.bin"}, CheckpointError, "one.safetensors"),
        ("{}", {"weight_name": "../x.bin"}, ArgumentError, "weight_name='../x.bin' must"),
        ("{}", {"weight_name": 3}, ArgumentTypeError, "weight_name=3 is not a string"),
        ("{}", {"subfolder": "absent"}, CheckpointError, "no file of the form"),
        ("{}", {"names": ("*.none",)}, CheckpointError, "no file of the form .*none"),
        ("{}", {"weigth_name": "x"}, ArgumentTypeError, "weight_name"),
        ("{}/note.txt", {}, CheckpointError, "not a file of tensors"),
    ],
)
def test_mistakes_are_named(folder: Path, given, options, error, text) -> None:
    (folder / "note.txt").write_text("hello")
    given = given.format(folder) if isinstance(given, str) else given
    with pytest.raises(error, match=text):
        open_tensors(given, **options)


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize("content", [{"a": Evil()}, Evil(), [1, 2], "text", {1: {2: {3: Evil()}}}])
def test_a_pickle_of_anything_but_data_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(AutopipeError):
        open_tensors(tmp_path / "evil.bin")


def test_damaged_files_are_named(folder: Path) -> None:
    for name in ("one.safetensors", "two.bin"):
        file = folder / name
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(DamagedFileError, match=name):
            open_tensors(file)
    pipe = folder / "pipe.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match="named pipe"):
        open_tensors(pipe)
