"""Links that lead out of a checkpoint: refused, unless the user says that they made them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.auto import AutoPipelineForText2Image
from autopipe.checkpoint.source import FOLLOW_LINKS
from autopipe.cli import main
from autopipe.errors import ArgumentError, UnsafeCheckpointError
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline, TinyScheduler, same

COMMIT = "a" * 40


def component_elsewhere(saved: Path, disk: Path) -> None:
    shutil.move(saved / "net", disk / "net")
    (saved / "net").symlink_to(disk / "net")


def files_elsewhere(saved: Path, disk: Path) -> None:
    """What a download to a `local_dir` once left: every file a link into a cache."""
    for file in [path for path in saved.rglob("*") if path.is_file()]:
        content = disk / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.move(file, content)
        file.symlink_to(content)


def weights_elsewhere(saved: Path, disk: Path) -> None:
    file = saved / "net" / "diffusion_pytorch_model.safetensors"
    shutil.move(file, disk / "x")
    (disk / "y").symlink_to(disk / "x")
    file.symlink_to(disk / "y")


WAYS = [component_elsewhere, files_elsewhere, weights_elsewhere]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.mark.parametrize("move", WAYS)
def test_the_refusal_says_how_to_follow_and_that_helps(
    saved: Path, disk: Path, move: Callable[..., None], pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(saved, disk)
    loads: list[Callable[..., Any]] = [
        lambda **k: TinyPipeline.from_pretrained(saved, **k).net,
        lambda **k: DiffusionPipeline.from_pretrained(saved, **k).net,
        lambda **k: AutoPipelineForText2Image.from_pretrained(saved, **k).net,
        lambda **k: TinyNet.from_pretrained(saved, subfolder="net", **k),
    ]
    for load in loads:
        with pytest.raises(UnsafeCheckpointError, match=rf"follow_links=True.*{FOLLOW_LINKS}=1"):
            load()
        with pytest.raises(UnsafeCheckpointError):
            load(follow_links=False)
        assert same(load(follow_links=True).state_dict(), pipe.net.state_dict())
        with monkeypatch.context() as environment:
            environment.setenv(FOLLOW_LINKS, "1")
            assert same(load().state_dict(), pipe.net.state_dict())
            with pytest.raises(UnsafeCheckpointError):
                load(follow_links=False)


def test_schedulers_follow_too(saved: Path, disk: Path) -> None:
    files_elsewhere(saved, disk)
    with pytest.raises(UnsafeCheckpointError):
        TinyScheduler.from_pretrained(saved, subfolder="scheduler")
    loaded = TinyScheduler.from_pretrained(saved, subfolder="scheduler", follow_links=True)
    assert loaded.config.sigma == 0.25


@pytest.mark.parametrize("value", ["0", "", "false", "No"])
def test_an_environment_that_says_no(
    saved: Path, disk: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    component_elsewhere(saved, disk)
    monkeypatch.setenv(FOLLOW_LINKS, value)
    with pytest.raises(UnsafeCheckpointError):
        TinyPipeline.from_pretrained(saved)


def test_it_is_yes_or_no(saved: Path) -> None:
    for value in ("yes", 1, [True]):
        with pytest.raises(ArgumentError, match="follow_links must be True or False"):
            TinyPipeline.from_pretrained(saved, follow_links=value)


def test_commands_follow(
    saved: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    component_elsewhere(saved, disk)
    monkeypatch.setenv(FOLLOW_LINKS, "")
    assert main(["inspect", str(saved)]) == 1
    assert "follow_links=True" in " ".join(capsys.readouterr().out.split())
    assert main(["inspect", str(saved), "--follow-links"]) == 0


def cached(saved: Path, repository: Path) -> Path:
    """`saved` as the cache of huggingface_hub keeps it."""
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for file in [path for path in saved.rglob("*") if path.is_file()]:
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        place = snapshot / file.relative_to(saved)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blob, place.parent))
    return snapshot


@pytest.mark.parametrize("moved", ["repository", "blobs", "both", "nothing"])
def test_a_cache_that_was_moved_and_linked_back(
    saved: Path, disk: Path, tmp_path: Path, moved: str, pipe: Any
) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    place = hub / "models--owner--name"
    real = disk / "big" if moved in ("repository", "both") else place
    cached(saved, real)
    if real != place:
        place.symlink_to(real)
    if moved in ("blobs", "both"):
        shutil.move(real / "blobs", disk / "contents")
        (real / "blobs").symlink_to(disk / "contents")
    loaded = TinyPipeline.from_pretrained("owner/name", cache_dir=hub, local_files_only=True)
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    folder = TinyPipeline.download("owner/name", cache_dir=hub, local_files_only=True)
    follow = moved in ("blobs", "both")
    loaded = TinyPipeline.from_pretrained(folder, follow_links=follow)
    assert same(loaded.net.state_dict(), pipe.net.state_dict())


def test_a_damaged_content_of_a_linked_cache_is_found(
    saved: Path, disk: Path, tmp_path: Path
) -> None:
    place = tmp_path / "hub" / "models--owner--name"
    snapshot = cached(saved, place)
    shutil.move(place / "blobs", disk / "contents")
    (place / "blobs").symlink_to(disk / "contents")
    file = (snapshot / "net/diffusion_pytorch_model.safetensors").resolve()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError, match="checksum differs"):
        TinyPipeline.download("owner/name", cache_dir=tmp_path / "hub", local_files_only=True)


def test_an_archive_laid_out_like_a_cache_is_not_trusted(saved: Path, tmp_path: Path) -> None:
    """Its `blobs` may be a link to anything; the folder was given by its path."""
    place = tmp_path / "unpacked" / "models--owner--name"
    snapshot = cached(saved, place)
    shutil.move(place / "blobs", tmp_path / "private")
    (place / "blobs").symlink_to(tmp_path / "private")
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        TinyPipeline.from_pretrained(snapshot)


def test_following_does_not_open_what_is_no_file(saved: Path) -> None:
    config = saved / "net" / "config.json"
    config.unlink()
    config.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="it is a device"):
        TinyPipeline.from_pretrained(saved, follow_links=True, torch_dtype=torch.float32)
