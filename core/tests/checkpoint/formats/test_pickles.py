"""What a pickle asks for is told in our words, and none of it is done."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import CheckpointError, DamagedFileError, UnsafeCheckpointError

from ..conftest import TinyNet

THEIRS = ("\x1b", "weights_only", "can still be loaded", "safe_globals", "http", "WeightsUnpickler")


class Call:
    """Unpickled, it calls `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Numbered(pickle.Pickler):
    def persistent_id(self, thing: Any) -> Any:
        return "key" if thing == "kept elsewhere" else None


def numbered() -> bytes:
    stream = io.BytesIO()
    Numbered(stream).dump({"x": "kept elsewhere"})
    return stream.getvalue()


SYSTEM = {"x": Call(os.system, "touch ran")}
ASKING: dict[str, tuple[bytes, str]] = {
    "eval": (b"cbuiltins\neval\n(S'1'\ntR.", r"builtins\.eval"),
    **{
        f"os.system, protocol {number}": (pickle.dumps(SYSTEM, number), r"\w+\.system")
        for number in range(6)
    },
    "nested": (
        pickle.dumps([{"a": Call(getattr, Call(builtins.__import__, "os"), "system")}], 2),
        "getattr, .*__import__",
    ),
    "after tensors": (
        pickle.dumps({"a": torch.zeros(2), "b": torch.zeros(2).half(), **SYSTEM}, 2),
        r"it refers to .*\w+\.system",
    ),
    "old opcodes": (b"(S'true'\nios\nsystem\n.", r"os\.system"),
    "a persistent id": (numbered(), "by its own numbers"),
    "an escape sequence": (b"c\x1b[31mos\nsys\x07tem\n)R.", r"\\x1b\[31mos"),
    "a long name": (b"c" + b"x" * 10**5 + b"\nf\n)R.", "xxx"),
}


@pytest.fixture
def put(net_folder: Path) -> Callable[[bytes, bool], Path]:
    next(net_folder.glob("*.safetensors")).unlink()
    file = net_folder / "diffusion_pytorch_model.bin"

    def write(content: bytes, zipped: bool) -> Path:
        if zipped:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("a/data.pkl", content)
                archive.writestr("a/version", "3")
        else:
            file.write_bytes(content)
        return net_folder

    return write


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_it_asks_for_is_named_in_our_words(
    put: Callable[[bytes, bool], Path],
    name: str,
    zipped: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    content, words = ASKING[name]
    folder = put(content, zipped)
    with pytest.raises(UnsafeCheckpointError, match=words) as caught:
        TinyNet.from_pretrained(folder)
    assert not any(theirs in str(caught.value) for theirs in THEIRS)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.99])
def test_one_that_is_cut_short_is_damaged(
    put: Callable[[bytes, bool], Path], zipped: bool, part: float
) -> None:
    stream = io.BytesIO()
    torch.save(TinyNet().state_dict(), stream, _use_new_zipfile_serialization=zipped)
    content = stream.getvalue()
    folder = put(content[: int(part * len(content))], False)
    with pytest.raises(DamagedFileError, match=r"\.bin is damaged") as caught:
        TinyNet.from_pretrained(folder)
    assert not any(theirs in str(caught.value) for theirs in THEIRS)


@pytest.mark.parametrize("thing", [[1, 2], {}, {"x": 1}, {1: torch.zeros(2)}, None, "text", 10**99])
def test_one_of_something_else_says_so(put: Callable[[bytes, bool], Path], thing: Any) -> None:
    folder = put(b"", False)
    torch.save(thing, folder / "diffusion_pytorch_model.bin")
    with pytest.raises((CheckpointError, ValueError)) as caught:
        TinyNet.from_pretrained(folder)
    assert not any(theirs in str(caught.value) for theirs in THEIRS)
