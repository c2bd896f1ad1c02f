"""Repositories, with the calls of huggingface_hub replaced; no server is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from autopipe.checkpoint.hub import HubSource, open_repository
from autopipe.checkpoint.source import HubOptions
from autopipe.errors import CheckpointError, DamagedFileError

from .conftest import TinyPipeline, same

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refusal(kind: Any) -> Exception:
    """An error of the client, made without the response of a server that it wants."""
    made: Exception = kind.__new__(kind)
    made.args = ("refused",)
    return made


@pytest.fixture
def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A Hub with one repository, the saved pipeline and files nobody needs; records fetches."""
    (saved / "net" / "diffusion_pytorch_model.bin").write_bytes(b"not needed")
    (saved / "net" / "code.py").write_text("raise RuntimeError")
    (saved / "big.ckpt").write_bytes(b"not needed")
    sizes = {p.relative_to(saved).as_posix(): p for p in saved.rglob("*") if p.is_file()}
    fetched: list[list[str]] = []
    cache = tmp_path / "cache" / "models--owner--name" / "snapshots" / COMMIT

    def model_info(repository: str, **options: Any) -> Any:
        siblings = [
            SimpleNamespace(rfilename=name, size=p.stat().st_size) for name, p in sizes.items()
        ]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(repository: str, *, allow_patterns: list[str], **options: Any) -> str:
        if options["revision"] == "moved":
            return str(cache.parent / ("f" * 40))
        assert options["revision"] in (None, COMMIT)
        fetched.append(allow_patterns)
        for name in allow_patterns:
            (cache / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(saved / name, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return fetched


def test_only_needed_files_of_one_commit_are_fetched(
    hub: list[list[str]], pipe: TinyPipeline
) -> None:
    net = pipe.net
    loaded = TinyPipeline.from_pretrained("owner/name", checker=None)
    assert same(loaded.net.state_dict(), net.state_dict())
    assert hub[0] == ["model_index.json"]
    assert set(hub[1]) == {
        "model_index.json",
        "net/config.json",
        "net/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
    }


def test_a_revision_that_moves_meanwhile_does_not_change_the_commit(
    hub: list[list[str]], pipe: TinyPipeline
) -> None:
    loaded = TinyPipeline.from_pretrained("owner/name", revision="moved")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())


def test_a_file_of_another_size_is_damaged(hub: list[list[str]], saved: Path) -> None:
    source = open_repository("owner/name", HubOptions())
    assert isinstance(source, HubSource)
    file = saved / "net" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DamagedFileError, match="force_download=True"):
        source.fetch(["net/diffusion_pytorch_model.safetensors"])


def test_listing_is_by_folder(hub: list[list[str]]) -> None:
    source = open_repository("owner/name", HubOptions())
    assert set(source.files("scheduler")) == {"scheduler_config.json"}
    assert set(source.files()) == {"model_index.json", "big.ckpt"}
    with pytest.raises(CheckpointError, match="no file absent"):
        source.fetch(["absent"])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (errors.GatedRepoError, "hf auth login"),
        (errors.RepositoryNotFoundError, "no repository of this name"),
        (errors.RevisionNotFoundError, "no revision 'v9'"),
    ],
)
def test_refusals_say_what_to_do(
    hub: list[list[str]], monkeypatch: pytest.MonkeyPatch, kind: Any, text: str
) -> None:
    def model_info(*args: Any, **options: Any) -> Any:
        raise refusal(kind)

    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    with pytest.raises(CheckpointError, match=text):
        TinyPipeline.from_pretrained("owner/name", revision="v9")


@pytest.mark.parametrize("reason", ["offline", "local_files_only", "no connection"])
def test_without_the_hub_the_cache_is_used(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    repository = tmp_path / "cache" / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(saved, repository / "snapshots" / COMMIT)

    def model_info(*args: Any, **options: Any) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", reason == "offline")
    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    options: dict[str, Any] = {"cache_dir": tmp_path / "cache"}
    if reason == "local_files_only":
        options["local_files_only"] = True
    assert isinstance(TinyPipeline.from_pretrained("owner/name", **options), TinyPipeline)
    with pytest.raises(CheckpointError, match="nor in the cache"):
        TinyPipeline.from_pretrained("owner/other", **options)


def test_a_name_that_no_repository_can_have(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="owner/-name"):
        TinyPipeline.from_pretrained("owner/-name", local_files_only=True, cache_dir=tmp_path)
