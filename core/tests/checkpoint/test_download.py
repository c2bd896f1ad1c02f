"""What is fetched: planned to the byte, then fetched, checked and repaired."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from support.hub_server import HubServer

from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.errors import CheckpointError, VariantError
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline, same

WEIGHTS = "net/diffusion_pytorch_model.safetensors"


@pytest.fixture
def commit(hub_server: HubServer, saved: Path, pipe: TinyPipeline) -> str:
    """`owner/name`: the saved pipeline, its network in float16 too, and files nobody needs."""
    pipe.net.to(torch.float16).save_pretrained(saved / "net", variant="fp16")
    (saved / "net" / "diffusion_pytorch_model.bin").write_bytes(b"not needed")
    (saved / "big.ckpt").write_bytes(b"not needed")
    return hub_server.add("owner/name", saved)


def test_the_plan_is_exactly_what_loading_fetches(hub_server: HubServer, commit: str) -> None:
    plan = Checkpoint.open("owner/name", {}).plan(DiffusionPipeline)
    files = hub_server.repositories["owner/name"].files()
    assert hub_server.fetched() == ["model_index.json"]
    assert plan.source.commit == commit
    assert {item.path: item.size for item in plan.items} == {
        item.path: len(files[item.path]) for item in plan.items
    }
    assert [item.path for item in plan.items if not item.missing] == ["model_index.json"]
    assert plan.missing_size == plan.size - len(files["model_index.json"])
    TinyPipeline.from_pretrained("owner/name")
    assert hub_server.fetched() == sorted(item.path for item in plan.items)


def test_download_then_load_without_the_hub(
    hub_server: HubServer, commit: str, pipe: TinyPipeline
) -> None:
    folder = DiffusionPipeline.download("owner/name")
    assert Path(folder).name == commit
    hub_server.down()
    assert isinstance(TinyPipeline.from_pretrained("owner/name"), TinyPipeline)
    assert isinstance(TinyPipeline.from_pretrained(folder), TinyPipeline)
    assert Checkpoint.open(folder, {}).plan(DiffusionPipeline).missing == ()


def test_only_the_variant_and_only_what_is_not_given(hub_server: HubServer, commit: str) -> None:
    DiffusionPipeline.download("owner/name", variant="fp16", checker=None)
    fetched = hub_server.fetched()
    assert "net/diffusion_pytorch_model.fp16.safetensors" in fetched
    assert WEIGHTS not in fetched
    assert not [path for path in fetched if path.startswith("checker/")]
    with pytest.raises(VariantError, match="'fp16'"):
        DiffusionPipeline.download("owner/name", variant="bf16")


def test_shards_are_planned_by_their_index(
    hub_server: HubServer, saved: Path, pipe: TinyPipeline
) -> None:
    pipe.net.save_pretrained(saved / "net", max_shard_size=60)
    (saved / "net" / "diffusion_pytorch_model-00099-of-00099.safetensors").write_bytes(b"stale")
    hub_server.add("owner/name", saved)
    plan = Checkpoint.open("owner/name", {}).plan(DiffusionPipeline)
    index = f"{WEIGHTS}.index.json"
    assert hub_server.fetched() == ["model_index.json", index]
    assert sum(item.component == "net" for item in plan.items) > 3
    assert not [item.path for item in plan.items if "00099" in item.path]
    assert same(TinyPipeline.from_pretrained("owner/name").net.state_dict(), pipe.net.state_dict())


def test_damage_of_the_same_size_is_found_and_repaired_alone(
    hub_server: HubServer, commit: str
) -> None:
    folder = Path(DiffusionPipeline.download("owner/name"))
    before = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).resolve().write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    hub_server.requests.clear()
    DiffusionPipeline.download("owner/name")
    assert hub_server.fetched() == [WEIGHTS]
    assert (folder / WEIGHTS).read_bytes() == before


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    hub_server: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Checkpoint.open("owner/name", {}).plan(DiffusionPipeline)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage(100, 93, 7))
    with pytest.raises(CheckpointError, match=f"{plan.missing_size:,} more bytes.*has 7 left"):
        plan.run()
    assert hub_server.fetched() == ["model_index.json"]


def test_a_network_alone_is_no_pipeline(hub_server: HubServer, net_folder: Path) -> None:
    hub_server.add("owner/net", net_folder)
    with pytest.raises(CheckpointError, match=r"no file model_index\.json"):
        DiffusionPipeline.download("owner/net")
    assert isinstance(TinyNet.from_pretrained("owner/net"), TinyNet)


KILLED = """
import sys
from autopipe.checkpoint.hub.opening import open_repository
from autopipe.checkpoint.source import HubOptions
source = open_repository("owner/big", HubOptions())
source.fetch(list(source.entries))
"""


def test_a_killed_download_goes_on_with_what_is_missing(
    hub_server: HubServer, tmp_path: Path
) -> None:
    files = {f"part{n}/model.safetensors": bytes([n]) * 300_000 for n in range(12)}
    hub_server.add("owner/big", files)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub_server.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }

    def start() -> subprocess.Popen[bytes]:
        line = [sys.executable, "-c", KILLED]
        return subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)

    process = start()
    hub_server.fault("GET /large/", times=9)
    hub_server.fault("GET /large/", then=lambda: os.kill(process.pid, signal.SIGKILL))
    process.wait()
    assert process.returncode == -signal.SIGKILL
    blobs = tmp_path / "home" / "hub" / "models--owner--big" / "blobs"
    kept = {p: p.stat().st_mtime_ns for p in blobs.iterdir() if p.suffix != ".incomplete"}
    assert 0 < len(kept) < len(files)
    assert start().wait() == 0
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    # What the snapshot leads to: a kill may leave a file beside, which nothing leads to.
    (snapshot,) = (blobs.parent / "snapshots").iterdir()
    assert {p.read_bytes() for p in snapshot.glob("*/model.safetensors")} == set(files.values())
