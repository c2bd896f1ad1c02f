"""Files of some megabytes that would take gigabytes: refused before the memory is taken."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.tiny import make_tokenizer
from transformers import CLIPTokenizer

from autopipe.checkpoint.headers import read_header
from autopipe.checkpoint.processors import load_processor
from autopipe.checkpoint.source import LocalSource
from autopipe.checkpoint.tensors import read_pickled
from autopipe.errors import AutopipeError, DamagedFileError, UnsafeCheckpointError
from autopipe.json_files import read_json_object

SIZE = 24_000_000
INFLATED = 300_000_000


def many(one: bytes, begin: bytes = b"[", end: bytes = b"]") -> bytes:
    return begin + b",".join([one] * (SIZE // (len(one) + 1))) + end


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def headed(content: bytes) -> bytes:
    """A safetensors file with this header."""
    return struct.pack("<Q", len(content)) + content


def archive(file: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as target:
        target.writestr("x/data.pkl", data)
        target.writestr("x/version", "3")


def lying(file: Path) -> None:
    """The directory of the archive says that its pickle is short."""
    archive(file, bytes(INFLATED))
    content = file.read_bytes()
    file.write_bytes(content.replace(struct.pack("<I", INFLATED), struct.pack("<I", 1000)))


def crowded(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as target:
        for number in range(3000):
            target.writestr(f"x/{number:03000}", b"")
        target.writestr("x/data.pkl", b"}.")


def compressed(file: Path) -> None:
    """Mapping it would give the compressed bytes as values."""
    torch.save({"a": torch.zeros(1000)}, file.with_suffix(".tmp"))
    with (
        zipfile.ZipFile(file.with_suffix(".tmp")) as source,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for one in source.infolist():
            target.writestr(one.filename, source.read(one))
    file.with_suffix(".tmp").unlink()


MEMORY = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\xe4\x0b\x54\x02\x85R."  # bytearray(10**10)
EMPTY = b"\x80\x02" + b"}" * SIZE + b"."

FILES: dict[str, bytes | Callable[[Path], object]] = {
    "lists.json": many(b"[]", b'{"weight_map":[', b"]}"),
    "objects.json": many(b"{}", b'{"a":[', b"]}"),
    "pairs.json": many(b'"a":{"":1}', b"{", b"}"),
    "numbers.json": many(b"1e9", b'{"a":[', b"]}"),
    "texts.json": many(b'""', b'{"a":[', b"]}"),
    "deep.json": nested(1_000_000),
    "digits.json": b'{"a":' + b"9" * SIZE + b"}",
    "long.json": b'{"a":"' + b"x" * (1 << 26) + b'"}',
    "other.json": b'{"a":"' + b"\xff" * SIZE + b'"}',
    "lists.safetensors": headed(many(b"[]")),
    "shape.safetensors": headed(many(b"1", b'{"a":{"dtype":"F32","shape":[', b"]}}")),
    "axes.safetensors": headed(
        b'{"a":{"dtype":"F32","shape":[' + b"1," * 200_000 + b'1],"data_offsets":[0,4]}}'
    ),
    "deep.safetensors": headed(nested(1_000_000)),
    "long.safetensors": headed(b'{"a":"' + b"x" * (1 << 26) + b'"}'),
    "inflated.bin": lambda file: archive(file, bytes(INFLATED)),
    "lying.bin": lying,
    "crowded.bin": crowded,
    "compressed.bin": compressed,
    "steps.bin": lambda file: archive(file, EMPTY[: 7 << 20] + b"."),
    "memory.bin": lambda file: archive(file, MEMORY),
    "memory-stored.bin": lambda file: archive(file, MEMORY, zipfile.ZIP_STORED),
    "old-steps.bin": EMPTY,
    "old-memory.bin": MEMORY,
    "claims.bin": b"\x80\x02\x8d\x00\xe4\x0b\x54\x02\x00\x00\x00x.",
    "old-memory-later.bin": b"".join(
        [
            pickle.dumps(0x1950A86A20F9469CFC6C, 2),
            pickle.dumps(1001, 2),
            pickle.dumps({}, 2),
            MEMORY,
        ]
    ),
}

PROGRAM = """
import resource, sys
from pathlib import Path
from autopipe.checkpoint.headers import read_header
from autopipe.checkpoint.tensors import read_pickled
from autopipe.json_files import read_json_object
from autopipe.errors import AutopipeError

readers = {".json": read_json_object, ".safetensors": read_header}
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000, -1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        if file.suffix == ".bin":
            read_pickled([file], lambda name, own: own)
        else:
            readers[file.suffix](file)
    except AutopipeError as error:
        said = file.name in str(error)
    else:
        said = False
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(file.name, said, (after - before) // 1000)
    before = after
"""


def test_none_of_them_takes_much_memory(tmp_path: Path) -> None:
    for name, content in FILES.items():
        file = tmp_path / name
        file.write_bytes(content) if isinstance(content, bytes) else content(file)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    found = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in found] == sorted(FILES), done.stderr
    assert [name for name, said, _ in found if said != "True"] == []
    # Megabytes over the largest before. What is read takes some times its bytes.
    assert {name: int(more) for name, _, more in found if int(more) > 200} == {}


def test_what_the_largest_models_have_is_read(tmp_path: Path) -> None:
    names = [f"model.diffusion_model.transformer_blocks.{n}.attn.to_q.weight" for n in range(8000)]
    index = {"weight_map": {name: f"model-{n % 99:05}.bin" for n, name in enumerate(names)}}
    (tmp_path / "index.json").write_text(json.dumps(index, indent=2))
    assert len(read_json_object(tmp_path / "index.json")["weight_map"]) == 8000
    state = {name: torch.zeros(1, 2, 3, 1) for name in names}
    save_file(state, tmp_path / "x.safetensors", metadata={"tags": json.dumps(names * 20)})
    assert len(read_header(tmp_path / "x.safetensors").tensors) == 8000
    torch.save(state, tmp_path / "x.bin")
    assert len(read_pickled([tmp_path / "x.bin"], lambda name, own: own)) == 8000


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85R.", "os.system"),
        (pickle.dumps(Path("x"), 2), "pathlib"),
        (pickle.dumps({"a": subprocess.Popen}, 4), "subprocess.Popen"),
    ],
)
@pytest.mark.parametrize("archived", [True, False])
def test_a_refusal_names_what_was_asked_for_and_is_ours(
    tmp_path: Path, data: bytes, name: str, archived: bool
) -> None:
    file = tmp_path / "x.bin"
    archive(file, data) if archived else file.write_bytes(data)
    with pytest.raises(AutopipeError) as caught:
        read_pickled([file], lambda name, own: own)
    assert isinstance(caught.value, UnsafeCheckpointError), caught.value
    said = str(caught.value)
    assert name in said
    assert "weights_only" not in said
    assert "\x1b" not in said
    assert "add_safe_globals" not in said


@pytest.mark.parametrize(
    "data", [b"", b"}", b"\x80\x02X\xff", b"\xff\xff", b"c\n", b"c\xff\n\xfe\n."]
)
def test_a_pickle_cut_short(tmp_path: Path, data: bytes) -> None:
    archive(tmp_path / "x.bin", data)
    with pytest.raises(DamagedFileError, match=r"x\.bin"):
        read_pickled([tmp_path / "x.bin"], lambda name, own: own)


@pytest.mark.parametrize("name", ["vocab.json", "tokenizer.json"])
def test_the_vocabulary_of_a_tokenizer(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokenizer").mkdir()
    make_tokenizer(tmp_path / "tokenizer").save_pretrained(tmp_path / "tokenizer")
    if name == "vocab.json":
        (tmp_path / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    assert load_processor(CLIPTokenizer, LocalSource(tmp_path), ("tokenizer",))
    (tmp_path / "tokenizer" / name).write_bytes(many(b'"":[]', b"{", b"}"))
    with pytest.raises(DamagedFileError, match=f"{name}.*more than 4,194,304 entries"):
        load_processor(CLIPTokenizer, LocalSource(tmp_path), ("tokenizer",))
