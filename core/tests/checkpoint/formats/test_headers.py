from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.odd import only

from autopipe.checkpoint.formats.headers import main_dtype, read_header
from autopipe.errors import AutopipeError, CheckpointError, DamagedFileError

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def write(file: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    file.write_bytes(size.to_bytes(8, "little") + text + data)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_a_header_tells_names_types_shapes_and_places(file: Path) -> None:
    state = {"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.float16), "c": torch.ones(())}
    save_file(state, file, metadata={"format": "pt"})
    header = read_header(file)
    assert {n: (i.dtype, i.shape) for n, i in header.tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F16", (4,)),
        "c": ("F32", ()),
    }
    assert header.size == file.stat().st_size
    content = file.read_bytes()
    for name, info in header.tensors.items():
        raw = content[info.offset : info.offset + info.size]
        assert raw == state[name].numpy().tobytes()


def test_the_main_type_is_that_of_most_bytes(file: Path) -> None:
    half, ids = torch.zeros(10, dtype=torch.float16), torch.zeros(999, dtype=torch.int64)
    save_file({"a": half, "b": torch.zeros(2), "ids": ids}, file)
    assert main_dtype([read_header(file)]) == "F16"
    save_file({"ids": ids}, file)
    assert main_dtype([read_header(file)]) is None


def test_a_truncated_file_says_how_much_is_missing(file: Path) -> None:
    save_file({"a": torch.ones(1000)}, file)
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 123)
    with pytest.raises(DamagedFileError, match=rf"{size:,}.*{size - 123:,}.*123 are missing"):
        read_header(file)


def test_a_git_lfs_pointer_is_called_one(file: Path) -> None:
    file.write_text(POINTER)
    with pytest.raises(DamagedFileError, match=r"Git LFS pointer.*git lfs pull"):
        read_header(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"abc", "3 bytes"),
        ((2**62).to_bytes(8, "little") + b"{}", "header"),
        ((3).to_bytes(8, "little") + b"{}", "header"),
        ((2).to_bytes(8, "little") + b"\xff\xff", "JSON"),
        ((2).to_bytes(8, "little") + b"[]", "not a JSON object"),
        ((90_000).to_bytes(8, "little") + b"[" * 90_000, "JSON"),
    ],
)
def test_what_is_no_header_is_refused(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=reason):
        read_header(file)


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        entry(dtype="F33"),
        entry(dtype=None),
        entry(dtype=[]),
        entry(shape=[-2]),
        entry(shape=[3]),
        entry(shape="2"),
        entry(shape=[2.0]),
        entry(shape=[2**40, 2**40]),
        entry(data_offsets=[0]),
        entry(data_offsets=[8, 0]),
        entry(data_offsets=[4, 12]),
        entry(data_offsets=[-4, 4]),
        entry(data_offsets=[0, 2**70]),
    ],
)
def test_entries_that_make_no_sense_are_refused(file: Path, bad: Any) -> None:
    with pytest.raises(DamagedFileError, match="damaged"):
        read_header(write(file, {"a": bad}, b"\0" * 16))


def test_overlapping_tensors_and_bytes_of_nobody_are_refused(file: Path) -> None:
    twice = {"a": entry(), "b": entry()}
    with pytest.raises(DamagedFileError, match="overlap"):
        read_header(write(file, twice, b"\0" * 8))
    with pytest.raises(DamagedFileError, match="should have"):
        read_header(write(file, {"a": entry()}, b"\0" * 9))


def test_an_absent_file_is_a_checkpoint_error(file: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        read_header(file)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80), length=st.integers(0, 2**64 - 1) | st.integers(0, 40))
def test_nothing_but_typed_errors_comes_out(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, length: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + data)
    with only(AutopipeError):
        read_header(file)
