"""Whatever an index, a config or a header holds, the error is one of ours.

`AUTOPIPE_FUZZ` is how many examples each test makes: few by default, many in the nox session
`fuzz`.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.odd import only

from autopipe.checkpoint.build import check_sizes
from autopipe.checkpoint.files import shard_names
from autopipe.checkpoint.formats.headers import not_finite, read_header
from autopipe.checkpoint.formats.tensors import read_pickled, read_safetensors
from autopipe.checkpoint.index import parse_index, read_index
from autopipe.errors import AutopipeError
from autopipe.json_files import read_json_object
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline, TinyScheduler, text_encoder

fuzz = settings(
    max_examples=int(os.environ.get("AUTOPIPE_FUZZ", "20")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-4, 40)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["diffusers", "TinyNet", "..", "/etc", "os.system", "relu", "F32", "\0"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of a checkpoint, and an index for them."""
    folder = tmp_path_factory.mktemp("good")
    TinyNet(depth=2).save_pretrained(folder / "net", max_shard_size=60)
    text_encoder().save_pretrained(folder / "text_encoder")
    TinyScheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "TinyPipeline",
        "net": ["diffusers", "TinyNet"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "scheduler": ["diffusers", "TinyScheduler"],
        "checker": [None, None],
        "strict": True,
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@contextlib.contextmanager
def changed(file: Path, content: bytes) -> Iterator[None]:
    """Inside, `file` holds something else."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def mixed(file: Path, entries: dict[str, Any]) -> bytes:
    """The JSON of `file` with other entries."""
    content = {**json.loads(file.read_text()), **entries}
    return json.dumps(content).encode("utf-8", "surrogatepass")


def test_the_checkpoint_loads_unchanged(good: Path) -> None:
    assert isinstance(TinyPipeline.from_pretrained(good), TinyPipeline)


@fuzz
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_index(place: Path, content: bytes) -> None:
    (place / "model_index.json").write_bytes(content)
    with only(AutopipeError):
        read_index(place)


NAMES = st.sampled_from(["_class_name", "net", "text_encoder", "scheduler", "checker", "strict"])


@fuzz
@given(entries=st.dictionaries(NAMES | st.text(max_size=6), JSON, min_size=1, max_size=3))
def test_a_checkpoint_with_other_entries_in_its_index(good: Path, entries: dict[str, Any]) -> None:
    index = good / "model_index.json"
    with only(AutopipeError):
        parse_index({**json.loads(index.read_text()), **entries}, index)
    with changed(index, mixed(index, entries)), only(AutopipeError):
        DiffusionPipeline.from_pretrained(good)


PLACES = {
    "net/config.json": ["width", "depth", "note", "_class_name"],
    "text_encoder/config.json": [
        "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "hidden_act",
        "max_position_embeddings", "layer_norm_eps", "intermediate_size", "dtype", "model_type",
        "text_config", "architectures", "eos_token_id",
    ],
    "scheduler/scheduler_config.json": ["num_train_timesteps", "sigma", "_class_name"],
}  # fmt: skip


@pytest.mark.parametrize("file", PLACES)
@pytest.mark.parametrize("low", [True, False])
@fuzz
@given(data=st.data())
def test_a_checkpoint_with_other_entries_in_a_config(
    good: Path, file: str, low: bool, data: st.DataObject
) -> None:
    names = st.sampled_from(PLACES[file]) | st.text(max_size=6)
    entries = data.draw(st.dictionaries(names, JSON, min_size=1, max_size=3))
    with only(AutopipeError):
        check_sizes(entries, file)
    with changed(good / file, mixed(good / file, entries)), only(AutopipeError):
        TinyPipeline.from_pretrained(good, low_cpu_mem_usage=low)


SHARDS = st.sampled_from(["seed", "precise.weight", "layers.0.bias"]) | st.text(max_size=6)


@fuzz
@given(weight_map=JSON | st.dictionaries(SHARDS, JSON, max_size=3))
def test_any_list_of_shards(good: Path, weight_map: Any) -> None:
    index = good / "net" / "diffusion_pytorch_model.safetensors.index.json"
    with changed(index, mixed(index, {"weight_map": weight_map})):
        with only(AutopipeError):
            shard_names(read_json_object(index), str(index), "safetensors")
        with only(AutopipeError):
            TinyNet.from_pretrained(good / "net")


TENSOR = (
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "U8"]) | JSON,
            "shape": st.lists(st.integers(0, 4), max_size=3) | JSON,
            "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | JSON,
        }
    )
    | JSON
)
HEADERS = st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), TENSOR, max_size=3)


@fuzz
@given(
    header=HEADERS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60),
    length=st.none() | st.integers(0, 2**64 - 1),
    rest=st.binary(max_size=64),
)
def test_any_header(place: Path, header: bytes, length: int | None, rest: bytes) -> None:
    file = place / "x.safetensors"
    file.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + rest)
    for mapped in (True, False):
        with only(AutopipeError):
            found = read_header(file)
            not_finite(file, found)
            read_safetensors({file: found}, lambda name, dtype: dtype, not mapped)


@fuzz
@given(at=st.integers(0, 400), size=st.integers(0, 8), new=st.binary(max_size=8))
def test_good_weights_with_other_bytes(good: Path, at: int, size: int, new: bytes) -> None:
    file = next((good / "text_encoder").glob("*.safetensors"))
    content = file.read_bytes()
    with changed(file, content[:at] + new + content[at + size :]), only(AutopipeError):
        TinyPipeline.from_pretrained(good)


@fuzz
@given(content=st.binary(max_size=100), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02"]))
def test_any_pickle(place: Path, content: bytes, start: bytes) -> None:
    (place / "x.bin").write_bytes(start + content)
    with only(AutopipeError):
        read_pickled([place / "x.bin"], lambda name, dtype: dtype)
