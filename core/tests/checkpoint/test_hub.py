"""Repositories: the real client of huggingface_hub against a small Hub on loopback."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, snapshot_download
from support.hub_server import STRANGER, TOKEN, HubServer

from autopipe.checkpoint.hub.opening import open_repository
from autopipe.checkpoint.hub.repository import HubSource
from autopipe.checkpoint.source import HubOptions
from autopipe.errors import CheckpointError, DamagedFileError, UnsafeCheckpointError
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline, TinyScheduler, forbid_sockets, same

WEIGHTS = "net/diffusion_pytorch_model.safetensors"
NEEDED = {
    "checker/config.json",
    "checker/diffusion_pytorch_model.safetensors",
    "model_index.json",
    "net/config.json",
    WEIGHTS,
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
}


@pytest.fixture
def commit(hub_server: HubServer, saved: Path) -> str:
    """`owner/name`: the saved pipeline, and files nobody needs."""
    (saved / "net" / "diffusion_pytorch_model.bin").write_bytes(b"not needed")
    (saved / "net" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not needed")
    (saved / "net" / "code.py").write_text("raise RuntimeError")
    (saved / "big.ckpt").write_bytes(b"not needed")
    return hub_server.add("owner/name", saved)


def opened(**options: Any) -> HubSource:
    source = open_repository("owner/name", HubOptions(**options))
    assert isinstance(source, HubSource)
    return source


def snapshot(commit: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / "models--owner--name" / "snapshots" / commit


# Fetching


def test_only_needed_files_are_fetched_once(
    hub_server: HubServer, commit: str, pipe: TinyPipeline
) -> None:
    loaded = TinyPipeline.from_pretrained("owner/name")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    assert hub_server.fetched() == sorted(NEEDED)
    assert {r.path.split("/")[4] for r in hub_server.requests if "/resolve/" in r.path} == {commit}
    hub_server.requests.clear()
    assert same(TinyPipeline.from_pretrained("owner/name").net.state_dict(), pipe.net.state_dict())
    assert hub_server.fetched() == []


def test_components_of_the_caller_are_not_fetched(hub_server: HubServer, commit: str) -> None:
    TinyPipeline.from_pretrained("owner/name", net=TinyNet(), checker=None)
    assert not [path for path in hub_server.fetched() if path.startswith(("net/", "checker/"))]


def test_a_single_model_or_scheduler_fetches_its_own_files(
    hub_server: HubServer, commit: str, pipe: TinyPipeline
) -> None:
    loaded = TinyNet.from_pretrained("owner/name", subfolder="net")
    assert same(loaded.state_dict(), pipe.net.state_dict())
    assert hub_server.fetched() == ["net/config.json", WEIGHTS]
    assert TinyScheduler.from_pretrained("owner/name", subfolder="scheduler").config.sigma == 0.25


def test_a_config_alone_is_fetched_alone(hub_server: HubServer, commit: str) -> None:
    found = TinyNet.load_config(
        "owner/name", subfolder="net", return_unused_kwargs=True, return_commit_hash=True, colour=1
    )
    assert (found[0]["depth"], found[1:]) == (2, ({"colour": 1}, commit))
    with pytest.warns(FutureWarning):
        made = TinyScheduler.from_config("owner/name", subfolder="scheduler")
    assert made.config.sigma == 0.25
    files = {str(f.relative_to(snapshot(commit))) for f in snapshot(commit).rglob("*.*")}
    assert files == {"net/config.json", "scheduler/scheduler_config.json"}
    net = TinyNet.from_pretrained("owner/name", subfolder="net")
    assert net.config._name_or_path == "owner/name"


def test_the_cache_is_that_of_the_client(hub_server: HubServer, commit: str) -> None:
    TinyPipeline.from_pretrained("owner/name")
    hub_server.down()
    folder = snapshot_download("owner/name", local_files_only=True, allow_patterns=sorted(NEEDED))
    assert Path(folder) == snapshot(commit)
    blobs = snapshot(commit).parents[1] / "blobs"
    assert (snapshot(commit) / WEIGHTS).resolve().parent == blobs


def test_what_the_client_fetched_is_not_fetched_again(hub_server: HubServer, commit: str) -> None:
    snapshot_download("owner/name")
    hub_server.requests.clear()
    TinyPipeline.from_pretrained("owner/name")
    assert hub_server.fetched() == []


def test_all_files_are_of_one_commit_though_the_branch_moves(
    hub_server: HubServer, commit: str, pipe: TinyPipeline
) -> None:
    repo = hub_server.repositories["owner/name"]
    other = TinyNet(depth=2)
    with torch.no_grad():
        other.seed += 1

    def push() -> None:
        files = {**repo.files(), "net/config.json": b"{}", "model_index.json": b"{}"}
        repo.commit(files)

    hub_server.fault("HEAD .*/resolve/", then=push)
    loaded = TinyPipeline.from_pretrained("owner/name", revision="main")
    assert repo.refs["main"] != commit
    assert same(loaded.net.state_dict(), pipe.net.state_dict())


def test_a_revision_is_a_branch_a_tag_or_a_commit(
    hub_server: HubServer, commit: str, edit: Any, saved: Path
) -> None:
    repo = hub_server.repositories["owner/name"]
    changed = {**repo.files(), "scheduler/scheduler_config.json": b'{"sigma": 0.75}'}
    repo.commit(changed, ref="experiments/two")
    for revision, sigma in (("experiments/two", 0.75), (commit, 0.25), (None, 0.25)):
        loaded = TinyPipeline.from_pretrained("owner/name", revision=revision)
        assert loaded.scheduler.config.sigma == sigma


def test_force_download_fetches_everything_needed_once_more(
    hub_server: HubServer, commit: str
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    hub_server.requests.clear()
    TinyPipeline.from_pretrained("owner/name", force_download=True)
    assert hub_server.fetched() == sorted(NEEDED)


def test_a_cache_elsewhere(hub_server: HubServer, commit: str, tmp_path: Path) -> None:
    TinyPipeline.from_pretrained("owner/name", cache_dir=tmp_path / "elsewhere")
    assert not snapshot(commit).exists()
    assert (tmp_path / "elsewhere" / "models--owner--name" / "snapshots" / commit).is_dir()


def test_listing_is_by_folder(hub_server: HubServer, commit: str) -> None:
    source = opened()
    assert set(source.files("scheduler")) == {"scheduler_config.json"}
    assert set(source.files()) == {"model_index.json", "big.ckpt"}
    with pytest.raises(CheckpointError, match="no file absent"):
        source.fetch(["absent"])


def test_listed_paths_that_lead_out_do_not_exist(hub_server: HubServer, commit: str) -> None:
    repo = hub_server.repositories["owner/name"]
    repo.commit({**repo.files(), "../../../evil": b"x", "/etc/evil": b"x", "net/..": b"x"})
    source = opened()
    assert not [path for path in source.entries if "evil" in path or ".." in path]


# A Hub that misbehaves


def test_a_cut_connection_is_resumed_where_it_broke(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50)
    hub_server.fault("GET /large/", cut=100)
    loaded = TinyNet.from_pretrained("owner/name", subfolder="net")
    assert same(loaded.state_dict(), pipe.net.state_dict())
    assert [r.range for r in hub_server.sent(WEIGHTS)] == ["", "bytes=100-"]


def test_what_was_fetched_before_a_failure_is_kept(hub_server: HubServer, commit: str) -> None:
    hub_server.fault("GET /large/", times=1000, status=503)
    with pytest.raises(CheckpointError, match=r"503.*fetched files are kept"):
        TinyPipeline.from_pretrained("owner/name")
    hub_server.faults.clear()
    # Which of the small files come before the failure of a large one is a matter of timing.
    kept = [path for path in hub_server.fetched() if not path.endswith("tensors")]
    assert kept
    hub_server.requests.clear()
    TinyPipeline.from_pretrained("owner/name")
    assert sorted(kept + hub_server.fetched()) == sorted(NEEDED)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("request_", ["GET /large/", "HEAD .*/resolve/", "GET .*/tree/"])
def test_a_fault_that_passes_is_waited_for(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, status: int, request_: str
) -> None:
    hub_server.fault(request_, status=status)
    loaded = TinyNet.from_pretrained("owner/name", subfolder="net")
    assert same(loaded.state_dict(), pipe.net.state_dict())


def test_too_many_requests_are_said(hub_server: HubServer, commit: str) -> None:
    hub_server.fault("/api/models/", times=1000, status=429)
    with pytest.raises(CheckpointError, match=r"can't be reached.*429"):
        TinyPipeline.from_pretrained("owner/name")
    with pytest.raises(CheckpointError, match="wait some minutes"):
        TinyPipeline.from_pretrained("owner/name", force_download=True)


@pytest.mark.parametrize("change", [lambda c: c[:-1] + b"\xff", lambda c: b"\0" * len(c)])
def test_other_content_of_the_same_size_is_fetched_again(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, change: Any
) -> None:
    hub_server.fault("GET /large/", content=change)
    loaded = TinyNet.from_pretrained("owner/name", subfolder="net")
    assert same(loaded.state_dict(), pipe.net.state_dict())
    assert len(hub_server.sent(WEIGHTS)) == 2


def test_content_that_stays_wrong_is_an_error_and_is_not_kept(
    hub_server: HubServer, commit: str
) -> None:
    hub_server.fault("GET /large/", times=1000, content=lambda c: c[:-1] + b"\xff")
    with pytest.raises(DamagedFileError, match=f"{WEIGHTS}.*was damaged twice"):
        TinyNet.from_pretrained("owner/name", subfolder="net")
    assert not (snapshot(commit) / WEIGHTS).exists()
    assert not [
        p for p in (snapshot(commit).parents[1] / "blobs").iterdir() if p.stat().st_size > 400
    ]
    hub_server.faults.clear()
    TinyNet.from_pretrained("owner/name", subfolder="net")


def test_a_text_file_that_changes_between_calls(hub_server: HubServer, commit: str) -> None:
    hub_server.fault("GET .*/net/config.json", content=lambda c: c.replace(b"2", b"9"))
    assert TinyNet.from_pretrained("owner/name", subfolder="net").config.depth == 2


@pytest.mark.parametrize("change", [lambda c: c[:-10], lambda c: c + b"more"])
def test_a_file_of_another_size_than_announced(
    hub_server: HubServer, commit: str, change: Any
) -> None:
    hub_server.fault("GET /large/", times=1000, content=change)
    with pytest.raises(CheckpointError, match="owner/name can't be fetched"):
        TinyNet.from_pretrained("owner/name", subfolder="net")
    assert not (snapshot(commit) / WEIGHTS).exists()


def test_a_listing_that_lies_about_a_size(hub_server: HubServer, commit: str) -> None:
    size = len(hub_server.repositories["owner/name"].files()[WEIGHTS])

    def lie(body: bytes) -> bytes:
        content = json.loads(body)
        for one in content["siblings"]:
            if one["rfilename"] == WEIGHTS:
                one["size"] = one["lfs"]["size"] = size + 5
        return json.dumps(content).encode()

    hub_server.fault("/api/models/owner/name$", times=1000, content=lie)
    with pytest.raises(DamagedFileError, match=f"should have {size + 5:,} bytes, but has {size:,}"):
        TinyNet.from_pretrained("owner/name", subfolder="net")


def test_a_damaged_file_in_the_cache_is_fetched_again_alone(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    file = (snapshot(commit) / WEIGHTS).resolve()
    file.write_bytes(file.read_bytes()[:-5])
    hub_server.requests.clear()
    loaded = TinyPipeline.from_pretrained("owner/name")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    assert hub_server.fetched() == [WEIGHTS]
    assert "is fetched again" in caplog.text


def test_a_cache_whose_links_lead_out_is_not_followed(
    hub_server: HubServer, commit: str, tmp_path: Path
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    (tmp_path / "secret").write_text("{}")
    link = snapshot(commit) / "net" / "config.json"
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        TinyPipeline.from_pretrained("owner/name")


def test_a_full_disk_is_said(
    hub_server: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(CheckpointError, match=r"disk is full.*cache_dir="):
        TinyPipeline.from_pretrained("owner/name")


# Refusals


def test_private_repositories_ask_to_log_in(hub_server: HubServer, saved: Path) -> None:
    hub_server.add("owner/name", saved, private=True)
    for token in (None, STRANGER):
        with pytest.raises(CheckpointError, match=r"private, run `hf auth login`"):
            TinyPipeline.from_pretrained("owner/name", token=token)
    assert isinstance(TinyPipeline.from_pretrained("owner/name", token=TOKEN), TinyPipeline)


def test_gated_repositories_ask_for_access(hub_server: HubServer, saved: Path) -> None:
    hub_server.add("owner/name", saved, gated=True)
    for token in (None, STRANGER):
        with pytest.raises(CheckpointError, match=r"request it on its page.*hf auth login"):
            TinyPipeline.from_pretrained("owner/name", token=token)
    hub_server.requests.clear()
    loaded = TinyPipeline.from_pretrained("owner/name", use_auth_token=TOKEN)
    assert isinstance(loaded, TinyPipeline)
    # Large files come from another host, which is not told the token.
    told = {r.path.startswith("/large/"): r.authorization for r in hub_server.requests}
    assert told == {False: f"Bearer {TOKEN}", True: ""}


def test_a_wrong_token_is_said(hub_server: HubServer, commit: str) -> None:
    with pytest.raises(CheckpointError, match="doesn't accept the token"):
        TinyPipeline.from_pretrained("owner/name", token="hf_expired")
    with pytest.raises(CheckpointError, match="token=True needs a token"):
        TinyPipeline.from_pretrained("owner/name", token=True)


def test_absent_repositories_and_revisions(hub_server: HubServer, commit: str) -> None:
    with pytest.raises(CheckpointError, match="no accessible repository of this name"):
        TinyPipeline.from_pretrained("owner/other")
    with pytest.raises(CheckpointError, match="no revision 'v9'"):
        TinyPipeline.from_pretrained("owner/name", revision="v9")
    with pytest.raises(CheckpointError, match="owner/-name"):
        TinyPipeline.from_pretrained("owner/-name")


# Offline


@pytest.fixture(params=["HF_HUB_OFFLINE", "local_files_only"])
def offline(
    request: pytest.FixtureRequest,
    hub_server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A function that takes sockets away; it returns the keywords to load with."""

    def go() -> dict[str, Any]:
        forbid_sockets(monkeypatch)
        if request.param == "HF_HUB_OFFLINE":
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
            return {}
        return {"local_files_only": True}

    return go


@pytest.mark.parametrize("revision", [None, "branch"])
def test_offline_opens_no_socket(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, offline: Any, revision: str | None
) -> None:
    hub_server.repositories["owner/name"].refs["branch"] = commit
    TinyPipeline.from_pretrained("owner/name", revision=revision)
    keywords = offline()
    for name in (revision, commit):
        for kind in (TinyPipeline, DiffusionPipeline):
            loaded = kind.from_pretrained("owner/name", revision=name, **keywords)
            assert same(loaded.net.state_dict(), pipe.net.state_dict())
    with pytest.raises(CheckpointError, match=r"autopipe download owner/name --revision other"):
        TinyPipeline.from_pretrained("owner/name", revision="other", **keywords)
    with pytest.raises(CheckpointError, match=r"nor in the cache.*autopipe download owner/other"):
        TinyPipeline.from_pretrained("owner/other", **keywords)


def test_an_incomplete_cache_names_the_file_and_the_command(
    hub_server: HubServer, commit: str, offline: Any
) -> None:
    TinyPipeline.from_pretrained("owner/name", net=TinyNet())
    keywords = offline()
    TinyPipeline.from_pretrained("owner/name", net=TinyNet(), **keywords)
    with pytest.raises(
        CheckpointError, match=r"net/config\.json .*is missing.*autopipe download owner/name"
    ):
        TinyPipeline.from_pretrained("owner/name", **keywords)


def test_an_incomplete_cache_whose_listing_was_not_kept(
    hub_server: HubServer, commit: str, offline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    TinyPipeline.from_pretrained("owner/name", net=TinyNet(), text_encoder=None)
    keywords = offline()
    monkeypatch.setattr("autopipe.checkpoint.hub.opening.cached_listing", lambda *args: None)
    with pytest.raises(CheckpointError, match=r"/(net|text_encoder).*autopipe download owner/name"):
        TinyPipeline.from_pretrained("owner/name", **keywords)


def test_a_truncated_file_is_found_offline_too(
    hub_server: HubServer, commit: str, offline: Any
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    file = (snapshot(commit) / WEIGHTS).resolve()
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DamagedFileError, match=f"{size:,} bytes, but has {size - 5:,}"):
        TinyPipeline.from_pretrained("owner/name", **offline())


def test_contents_are_compared_offline_too(
    hub_server: HubServer, commit: str, offline: Any
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    keywords = offline()
    assert Path(TinyPipeline.download("owner/name", **keywords)) == snapshot(commit)
    file = (snapshot(commit) / WEIGHTS).resolve()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"{WEIGHTS} .*checksum differs"):
        TinyPipeline.download("owner/name", **keywords)


def test_a_complete_cache_works_when_the_network_is_down(
    hub_server: HubServer, commit: str, pipe: TinyPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    TinyPipeline.from_pretrained("owner/name")
    hub_server.down()
    loaded = TinyPipeline.from_pretrained("owner/name")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    assert "from the cache" in caplog.text
    with pytest.raises(CheckpointError, match="can't be fetched"):
        TinyPipeline.from_pretrained("owner/name", force_download=True)
    shutil.rmtree(snapshot(commit) / "net")
    with pytest.raises(CheckpointError, match=r"net/config\.json.*autopipe download owner/name"):
        TinyPipeline.from_pretrained("owner/name")
