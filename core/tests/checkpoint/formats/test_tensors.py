from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autopipe.checkpoint.formats import tensors
from autopipe.checkpoint.formats.headers import read_header
from autopipe.checkpoint.formats.tensors import TORCH_DTYPES, read_pickled, read_safetensors
from autopipe.errors import CheckpointError, DamagedFileError, UnsafeCheckpointError

from ..conftest import same


def keep(name: str, dtype: torch.dtype) -> torch.dtype:
    return dtype


def read(file: Path, target: Any, disable_mmap: bool | None = None) -> dict[str, torch.Tensor]:
    return read_safetensors({file: read_header(file)}, target, disable_mmap)


def half(name: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float16 if dtype.is_floating_point else dtype


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "matrix": torch.randn(3, 5, generator=generator),
        "half": torch.randn(7, generator=generator).half(),
        "brain": torch.randn(2, generator=generator).bfloat16(),
        "ids": torch.arange(4),
        "flag": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
    }


@pytest.mark.parametrize("disable_mmap", [False, True, None])
def test_tensors_are_what_was_saved(
    tmp_path: Path, state: dict[str, torch.Tensor], disable_mmap: bool | None
) -> None:
    file = tmp_path / "x.safetensors"
    save_file(state, file)
    found = read(file, keep, disable_mmap)
    assert same(dict(sorted(found.items())), dict(sorted(state.items())))
    assert {n: t.dtype for n, t in found.items()} == {n: t.dtype for n, t in state.items()}


@pytest.mark.parametrize("disable_mmap", [False, True])
def test_tensors_are_cast_as_they_are_read(
    tmp_path: Path, state: dict[str, torch.Tensor], disable_mmap: bool
) -> None:
    file = tmp_path / "x.safetensors"
    save_file(state, file)
    found = read(file, half, disable_mmap)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == half(name, tensor.dtype)
        assert torch.equal(found[name], tensor.to(half(name, tensor.dtype)))


def test_changing_a_mapped_tensor_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(4)}, file)
    before = file.read_bytes()
    read(file, keep, disable_mmap=False)["a"].zero_()
    assert file.read_bytes() == before


def test_tensors_outlive_their_file(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.arange(1000)}, file)
    found = read(file, keep, disable_mmap=False)
    save_file({"a": torch.zeros(1000)}, tmp_path / "y")
    os.replace(tmp_path / "y", file)
    assert torch.equal(found["a"], torch.arange(1000))


def test_a_file_that_is_larger_than_memory_is_mapped_in_pieces(
    tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux grants no mapping that is larger than main memory and may be written to."""
    file = tmp_path / "x.safetensors"
    save_file({**state, "large": torch.arange(5000)}, file)
    before = file.read_bytes()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("unable to mmap: Cannot allocate memory (12)")

    monkeypatch.setattr(torch.UntypedStorage, "from_file", refuse)
    monkeypatch.setattr(tensors, "_read", lambda *args: pytest.fail("was read"))
    state.pop("none")
    found = read(file, keep, disable_mmap=False)
    assert found.pop("none").shape == (0, 3)
    assert torch.equal(found.pop("large"), torch.arange(5000))
    assert same(dict(sorted(found.items())), dict(sorted(state.items())))
    found["matrix"].zero_()
    assert file.read_bytes() == before


def test_a_header_that_breaks_alignment_is_read(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (5 - len(header) % 4)
    data = torch.tensor([1.5, -2.0])
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + data.numpy().tobytes())
    assert (8 + len(header)) % 4
    assert torch.equal(read(file, keep, disable_mmap=False)["a"], data)


@pytest.mark.parametrize(
    ("kind", "network"),
    [("ext4", False), ("overlay", False), ("nfs4", True), ("fuse.sshfs", True), ("cifs", True)],
)
def test_files_on_a_network_are_not_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, network: bool
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2)}, file)
    mounts = f"root / ext4 rw 0 0\nshare {tmp_path.resolve()} {kind} rw 0 0\nx /x nfs rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: mounts)
    assert tensors._on_network(file) is network
    monkeypatch.setattr(tensors, "_mapped", lambda *args: pytest.fail("was mapped"))
    if network:
        assert torch.equal(read(file, keep)["a"], torch.ones(2))


def test_every_type_of_the_format_is_known(tmp_path: Path) -> None:
    state = {
        name: torch.zeros(2, dtype=dtype)
        for name, dtype in TORCH_DTYPES.items()
        if name not in ("U16", "U32", "U64")
    }
    save_file(state, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors", keep, disable_mmap=True)
    assert {n: t.dtype for n, t in found.items()} == {n: t.dtype for n, t in state.items()}


@pytest.mark.parametrize("archive", [True, False])
def test_pickled_tensors_are_read(tmp_path: Path, archive: bool) -> None:
    state = {"a": torch.randn(3), "b": torch.arange(2)}
    file = tmp_path / "x.bin"
    torch.save(state, file, _use_new_zipfile_serialization=archive)
    assert same(dict(sorted(read_pickled([file], keep).items())), state)
    torch.save({"state_dict": state}, file)
    assert read_pickled([file], half)["a"].dtype == torch.float16


class Payload:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("plain", [True, False])
def test_a_pickle_with_side_effects_is_refused_and_not_run(tmp_path: Path, plain: bool) -> None:
    trace, file = tmp_path / "was-run", tmp_path / "x.bin"
    content = {"a": torch.ones(1), "b": Payload(trace)}
    if plain:
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file)
    with pytest.raises((UnsafeCheckpointError, DamagedFileError), match=r"x\.bin"):
        read_pickled([file], keep)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"nonsense" * 20, b"version https://git-lfs.github.com/spec/v1\nsize 1\n"],
)
def test_damaged_pickles_are_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.bin"):
        read_pickled([file], keep)


def test_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    torch.save({"a": torch.ones(1000)}, file)
    with file.open("r+b") as stream:
        stream.truncate(2000)
    with pytest.raises(DamagedFileError, match="damaged"):
        read_pickled([file], keep)


def test_a_pickle_of_something_else_is_no_state_dict(tmp_path: Path) -> None:
    for content in ([1, 2], {"a": 1}, {1: torch.ones(1)}, torch.ones(2)):
        torch.save(content, tmp_path / "x.bin")
        with pytest.raises(DamagedFileError, match="doesn't contain a state dict"):
            read_pickled([tmp_path / "x.bin"], keep)


def test_a_mapped_tensor_is_copied_and_saved_without_its_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"large": torch.ones(100_000), "small": torch.ones(3), "none": torch.ones(0)}, file)
    found = read(file, lambda name, dtype: dtype, disable_mmap=False)
    assert torch.equal(found["small"], torch.ones(3))
    assert found["none"].shape == (0,)
    torch.save({"small": found["small"]}, tmp_path / "small.pt")
    assert (tmp_path / "small.pt").stat().st_size < 10_000
    assert copy.deepcopy(found["small"]).untyped_storage().nbytes() == 12


@pytest.mark.parametrize("disable_mmap", [False, True])
@pytest.mark.parametrize("target", [keep, half])
def test_a_file_that_changes_after_its_header_was_read(
    tmp_path: Path, disable_mmap: bool, target: Any
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(4000)}, file)
    header = read_header(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DamagedFileError, match="changed while it was loaded"):
        read_safetensors({file: header}, target, disable_mmap)
