"""Every file of a checkpoint, in turn, as what it should not be: refused, and never waited for."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from autopipe.auto import AutoPipelineForText2Image
from autopipe.checkpoint.index import read_index
from autopipe.cli import main
from autopipe.errors import AutopipeError, CheckpointError, ConfigError
from autopipe.json_files import read_json_object
from autopipe.pipeline.base import DiffusionPipeline

from . import test_hostile
from .test_hostile import Full

registry, good, checkpoint = test_hostile.registry, test_hostile.good, test_hostile.checkpoint

FILES = [
    "model_index.json",
    "net/config.json",
    "net/diffusion_pytorch_model.safetensors.index.json",
    test_hostile.SHARD,
    "text_encoder/config.json",
    test_hostile.TEXT_SHARD,
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "feature_extractor/preprocessor_config.json",
    "scheduler/scheduler_config.json",
]
KINDS = ["pipe", "socket", "folder", "device", "sparse", "dangling", "loop"]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """What would wait for ever fails instead."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def make(place: Path, kind: str) -> None:
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        os.chdir(place.parent)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "sparse":
        with place.open("wb") as stream:
            stream.truncate(1 << 40)
    elif kind == "dangling":
        place.symlink_to("absent")
    else:
        place.symlink_to(place.name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("follow", [False, True])
def test_it_is_refused_by_kind_or_size(
    checkpoint: Path, path: str, kind: str, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint)
    make(checkpoint / path, kind)
    for cls in (DiffusionPipeline, AutoPipelineForText2Image):
        with pytest.raises(AutopipeError, match=re.escape(Path(path).name)):
            cls.from_pretrained(checkpoint, follow_links=follow)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "dangling", "loop"])
@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "chat_template.jinja", "a.spm"])
def test_what_a_tokenizer_might_open(
    checkpoint: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint)
    make(checkpoint / "tokenizer" / name, kind)
    with pytest.raises(CheckpointError, match=re.escape(name)):
        Full.from_pretrained(checkpoint)


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_goes_on(
    checkpoint: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(checkpoint)
    make(checkpoint / test_hostile.SHARD, kind)
    assert main(["inspect", str(checkpoint)]) == 1
    assert Path(test_hostile.SHARD).name in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_or_config_alone(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model_index.json"
    make(file, kind)
    for read in (lambda: read_json_object(file), lambda: read_index(tmp_path)):
        with pytest.raises(ConfigError, match=r"model_index\.json"):
            read()


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "sparse"])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ""])
def test_a_single_file(
    tmp_path: Path, kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / f"x{suffix}", kind)
    with pytest.raises(CheckpointError, match="x"):
        DiffusionPipeline.from_pretrained(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "sparse"])
@pytest.mark.parametrize("part", ["snapshot", "refs"])
def test_the_cache(
    good: Path, tmp_path: Path, kind: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--owner--name"
    snapshot = folder / "snapshots" / "c0ffee"
    shutil.copytree(good, snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")
    assert isinstance(Full.from_pretrained("owner/name", local_files_only=True), Full)
    place = folder / "refs" / "main" if part == "refs" else snapshot / "model_index.json"
    make(place, kind)
    with pytest.raises(AutopipeError, match=r"owner.*name"):
        Full.from_pretrained("owner/name", local_files_only=True)


@pytest.mark.parametrize("to", ["pipe", "device", "secret"])
@pytest.mark.parametrize("path", ["net/config.json", test_hostile.SHARD])
def test_what_is_put_there_after_the_check(
    checkpoint: Path, path: str, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names were looked at, and lead elsewhere when the file is opened."""
    from autopipe.checkpoint import source

    monkeypatch.chdir(checkpoint)
    secret = checkpoint.parent / "secret" / "copy"
    shutil.copy(checkpoint / path, secret)
    true = source.opened

    def late(file: Path, largest: int | None = None) -> Any:
        if file == checkpoint / path and not file.is_symlink():
            file.unlink()
            make(file, to) if to != "secret" else file.symlink_to(secret)
        return true(file, largest)

    monkeypatch.setattr(source, "opened", late)
    with pytest.raises(AutopipeError, match=r"not a regular file|leads out|changed while"):
        Full.from_pretrained(checkpoint)


def test_what_is_not_read_may_be_anything(checkpoint: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(checkpoint)
    for number, kind in enumerate(("pipe", "socket", "dangling", "folder", "sparse")):
        for folder in (checkpoint, checkpoint / "net", checkpoint / "scheduler"):
            make(folder / f"other{number}", kind)
    assert isinstance(Full.from_pretrained(checkpoint), Full)
