from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from autopipe.checkpoint.files import (
    candidates,
    plan_component,
    shard_names,
    variants_of,
)
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import (
    CheckpointError,
    ConfigError,
    DamagedFileError,
    UnsafeCheckpointError,
    VariantError,
)
from autopipe.json_files import read_json_object

NET = ("diffusion_pytorch_model",)
PLAIN = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"
HALF = "diffusion_pytorch_model.fp16.safetensors"


def folder(root: Path, *names: str, **indices: list[str]) -> LocalSource:
    """A component `net` with files of 10 bytes, and index files that list the given shards."""
    place = root / "net"
    place.mkdir()
    for name in names:
        (place / name).write_bytes(b"0123456789")
    for name, shards in indices.items():
        content = {"weight_map": {f"t{i}": shard for i, shard in enumerate(shards)}}
        (place / name.replace("__", ".")).write_text(json.dumps(content))
    return LocalSource(root)


def chosen(source: LocalSource, **options: Any) -> str:
    part = plan_component(source, ("net",), stems=NET, **options)
    assert part.weights is not None
    return part.weights.files[0].path.removeprefix("net/")


def test_each_naming_of_variants_and_shards_is_understood() -> None:
    names = [
        PLAIN,
        HALF,
        "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model.safetensors.index.bf16.json",
        "diffusion_pytorch_model.bin.ema.index.json",
        "model.safetensors",
        "config.json",
        "nodot",
        "diffusion_pytorch_model",
    ]
    found = {(c.variant, c.format, c.sharded) for c in candidates(names, NET)}
    assert found == {
        (None, "safetensors", False),
        ("fp16", "safetensors", False),
        ("bf16", "safetensors", True),
        ("ema", "bin", True),
    }
    assert set(variants_of(names)) == {None, "fp16", "bf16", "ema"}


def test_safetensors_go_before_pickles(tmp_path: Path) -> None:
    source = folder(tmp_path, PLAIN, PICKLED)
    assert chosen(source) == PLAIN
    assert chosen(source, use_safetensors=True) == PLAIN
    assert chosen(source, use_safetensors=False) == PICKLED


def test_pickles_are_read_only_where_there_is_nothing_else_and_it_is_allowed(
    tmp_path: Path,
) -> None:
    source = folder(tmp_path, PICKLED)
    assert chosen(source) == PICKLED
    with pytest.raises(UnsafeCheckpointError, match=PICKLED) as caught:
        chosen(source, use_safetensors=True)
    assert isinstance(caught.value, OSError)


def test_asking_for_pickles_that_are_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no pickled weights"):
        chosen(folder(tmp_path, PLAIN), use_safetensors=False)


def test_a_variant_is_strict_unless_told_otherwise(tmp_path: Path) -> None:
    source = folder(tmp_path, PLAIN, HALF)
    assert chosen(source) == PLAIN
    assert chosen(source, variant="fp16") == HALF
    with pytest.raises(VariantError, match=r"'bf16'.*'fp16', weights without a variant"):
        chosen(source, variant="bf16")
    assert chosen(source, variant="bf16", fall_back=True) == PLAIN


def test_plain_names_are_not_replaced_by_a_variant(tmp_path: Path) -> None:
    with pytest.raises(VariantError, match="variant='auto'"):
        chosen(folder(tmp_path, HALF))


@pytest.mark.parametrize(
    ("names", "dtype", "expected"),
    [
        ((PLAIN, HALF), "float32", PLAIN),
        ((PLAIN, HALF), "float16", HALF),
        ((PLAIN, HALF), "auto", PLAIN),
        ((HALF,), "float32", HALF),
        ((PLAIN,), "float16", PLAIN),
    ],
)
def test_the_automatic_variant_fits_the_dtype(
    tmp_path: Path, names: tuple[str, ...], dtype: str, expected: str
) -> None:
    assert chosen(folder(tmp_path, *names), variant="auto", dtype=dtype) == expected


@pytest.mark.parametrize(
    ("index", "shards", "variant"),
    [
        ("{0}__safetensors__index__json", "{0}-0000{1}-of-00002.safetensors", None),
        ("{0}__safetensors__index__fp16__json", "{0}.fp16-0000{1}-of-00002.safetensors", "fp16"),
        ("{0}__safetensors__fp16__index__json", "{0}-0000{1}-of-00002.fp16.safetensors", "fp16"),
    ],
)
def test_shards_come_from_their_index(
    tmp_path: Path, index: str, shards: str, variant: str | None
) -> None:
    names = [shards.format(NET[0], i) for i in (1, 2)]
    source = folder(tmp_path, *names, "config.json", **{index.format(NET[0]): names})
    part = plan_component(source, ("net",), stems=NET, variant=variant)
    assert part.weights is not None
    assert [file.path for file in part.weights.files] == [f"net/{name}" for name in names]
    assert part.weights.size == 20
    assert {file.path for file in part.files} == {
        "net/config.json",
        f"net/{index.format(NET[0]).replace('__', '.')}",
        *(f"net/{name}" for name in names),
    }


def test_an_absent_shard_is_named(tmp_path: Path) -> None:
    shards = ["diffusion_pytorch_model-00001-of-00002.safetensors"]
    source = folder(tmp_path, **{f"{NET[0]}__safetensors__index__json": shards})
    with pytest.raises(DamagedFileError, match=shards[0]):
        chosen(source)


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "code.py", "x.bin", 3, None]
)
def test_shards_stay_in_their_folder_and_format(tmp_path: Path, shard: Any) -> None:
    source = folder(tmp_path, **{f"{NET[0]}__safetensors__index__json": [shard]})
    with pytest.raises(UnsafeCheckpointError, match="index"):
        chosen(source)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {}}', "[]", "{"])
def test_a_broken_index_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.index.json").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.index\.json"):
        shard_names(read_json_object(tmp_path / "x.index.json"), "x.index.json", "safetensors")


def test_absent_folders_and_weights_are_told_apart(tmp_path: Path) -> None:
    source = folder(tmp_path, "config.json")
    with pytest.raises(CheckpointError, match="no weights"):
        chosen(source)
    with pytest.raises(CheckpointError, match="doesn't exist or is empty"):
        plan_component(source, ("absent",))


def test_code_is_not_among_the_files(tmp_path: Path) -> None:
    source = folder(tmp_path, "vocab.json", "merges.txt", "spiece.model", "code.py", "x.pkl")
    part = plan_component(source, ("net",), stems=())
    assert [file.path for file in part.files] == [
        "net/merges.txt",
        "net/spiece.model",
        "net/vocab.json",
    ]


SIDE = [
    "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "dict.txt",
    "sentencepiece.bpe.model", "tokenizer.model", "tokenizer.model.v11", "source.spm", "bpe.codes",
    "prophetnet.tokenizer", "qwen.tiktoken", "vocab.bpe", "dict.vocab", "chat_template.jinja",
    "added_tokens.json", "tekken.json", "words.tsv", "config.yaml",
]  # fmt: skip
NEVER = [
    "tokenization.py", "__init__.py", "x.pyc", "x.so", "pytorch_model.bin", "x.pkl", "x.pt",
    "x.pth", "x.ckpt", "x.pickle", "x.npy", "x.h5", "x.onnx", "x.msgpack", "model.safetensors",
    ".gitignore", "x.sh", "README.md", "json", ".json", "model.safetensors.index.json", "x.json.py",
]  # fmt: skip


def test_what_a_tokenizer_may_read_is_planned_and_nothing_else(tmp_path: Path) -> None:
    source = folder(tmp_path, *SIDE, *NEVER)
    (tmp_path / "net" / "additional_chat_templates").mkdir()
    for name in ("tool.jinja", "evil.py"):
        (tmp_path / "net" / "additional_chat_templates" / name).write_text("x")
    planned = {file.path for file in plan_component(source, ("net",), stems=()).files}
    assert planned == {
        *(f"net/{name}" for name in SIDE),
        "net/additional_chat_templates/tool.jinja",
    }


def test_many_files_are_planned_in_time_and_told_in_few_words(tmp_path: Path) -> None:
    names = [f"diffusion_pytorch_model.v{n}.safetensors" for n in range(20_000)]
    source = LocalSource(tmp_path)
    source._listings["net",] = dict.fromkeys(names, 10)
    started = time.process_time()
    assert chosen(source, variant="v17") == "diffusion_pytorch_model.v17.safetensors"
    assert chosen(source, variant="auto") in names
    for options in ({"variant": None}, {"variant": "x" * 10_000}, {"use_safetensors": False}):
        with pytest.raises(CheckpointError) as caught:
            chosen(source, **{"variant": "v1", **options})
        # What is raised, not what is left of it when it is shown.
        assert len(caught.value.args[0]) < 700
    # A hundred times what it takes. What grows with the square would take some minutes.
    assert time.process_time() - started < 200


def test_many_shards_are_planned_in_time(tmp_path: Path) -> None:
    shards = [f"diffusion_pytorch_model-{n:05}-of-20000.safetensors" for n in range(20_000)]
    index = {"diffusion_pytorch_model__safetensors__index__json": [*shards, "absent.safetensors"]}
    source = folder(tmp_path, **index)
    source._listings["net",] = {**source.files("net"), **dict.fromkeys(shards, 10)}
    started = time.process_time()
    with pytest.raises(DamagedFileError, match=r"absent\.safetensors"):
        chosen(source)
    assert time.process_time() - started < 200
