"""Uploads through the real client, to a small Hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from support.hub_server import STRANGER, TOKEN, HubServer

from autopipe.checkpoint.hub.upload import push_folder
from autopipe.errors import ArgumentError, CheckpointError

from .conftest import TinyNet, TinyPipeline, TinyScheduler, same

WEIGHTS = "diffusion_pytorch_model"


def test_a_pipeline_comes_back_from_the_hub(hub_server: HubServer, pipe: TinyPipeline) -> None:
    address = pipe.push_to_hub("owner/mine", token=TOKEN, commit_message="first")
    repo = hub_server.repositories["owner/mine"]
    assert address == f"{hub_server.url}/owner/mine/commit/{repo.refs['main']}"
    assert repo.messages[-1] == "first"
    assert not repo.private
    loaded = TinyPipeline.from_pretrained("owner/mine")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    assert same(loaded.text_encoder.state_dict(), pipe.text_encoder.state_dict())
    assert loaded.index() == pipe.index()


@pytest.mark.parametrize("safe", [True, False])
def test_a_model_under_a_variant_in_a_subfolder(hub_server: HubServer, safe: bool) -> None:
    net = TinyNet(note="pushed")
    net.push_to_hub(
        "owner/net", private=True, token=TOKEN, subfolder="a/net", variant="fp16",
        safe_serialization=safe,
    )  # fmt: skip
    repo = hub_server.repositories["owner/net"]
    assert repo.private
    suffix = "safetensors" if safe else "bin"
    assert {f"a/net/{WEIGHTS}.fp16.{suffix}", "a/net/config.json"} < set(repo.files())
    loaded = TinyNet.from_pretrained("owner/net", subfolder="a/net", variant="fp16", token=TOKEN)
    assert same(loaded.state_dict(), net.state_dict())


def test_a_scheduler_as_a_pull_request(hub_server: HubServer) -> None:
    TinyScheduler().push_to_hub("owner/steps", token=TOKEN)
    address = TinyScheduler(sigma=0.125).push_to_hub("owner/steps", token=TOKEN, create_pr=True)
    repo = hub_server.repositories["owner/steps"]
    assert address.startswith(f"{hub_server.url}/owner/steps/discussions/")
    assert json.loads(repo.files()["scheduler_config.json"])["sigma"] == 0.5
    loaded = TinyScheduler.from_pretrained("owner/steps", revision="refs/pr/1")
    assert loaded.config.sigma == 0.125


@pytest.mark.parametrize("what", ["pipe", "net", "scheduler"])
def test_save_pretrained_uploads_too(
    hub_server: HubServer, pipe: TinyPipeline, tmp_path: Path, what: str
) -> None:
    saved: Any = pipe if what == "pipe" else getattr(pipe, what)
    saved.save_pretrained(tmp_path / "mine", push_to_hub=True, token=TOKEN, private=True)
    repo = hub_server.repositories["owner/mine"]
    assert repo.private
    here = {
        p.relative_to(tmp_path / "mine").as_posix(): p.read_bytes()
        for p in (tmp_path / "mine").rglob("*")
        if p.is_file()
    }
    assert {k: v for k, v in repo.files().items() if k != ".gitattributes"} == here
    saved.save_pretrained(
        tmp_path / "mine", push_to_hub=True, repo_id="owner/other", token=TOKEN,
        commit_message="by name",
    )  # fmt: skip
    assert hub_server.repositories["owner/other"].messages[-1] == "by name"


def test_a_card_is_written_where_there_is_none(hub_server: HubServer, tmp_path: Path) -> None:
    net = TinyNet()
    net.push_to_hub("owner/net", token=TOKEN)
    card = hub_server.repositories["owner/net"].files()["README.md"].decode()
    assert "library_name: diffusers" in card
    assert 'from_pretrained("owner/net")' in card
    # That of the repository stays, and so does that of the folder.
    hub_server.add("owner/old", {"README.md": b"theirs"})
    net.push_to_hub("owner/old", token=TOKEN)
    assert hub_server.repositories["owner/old"].files()["README.md"] == b"theirs"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("mine")
    net.save_pretrained(tmp_path / "mine", push_to_hub=True, token=TOKEN)
    assert hub_server.repositories["owner/mine"].files()["README.md"] == b"mine"
    # A part of a repository has none of its own.
    net.push_to_hub("owner/part", token=TOKEN, subfolder="net")
    assert not [name for name in hub_server.repositories["owner/part"].files() if "README" in name]


def test_without_the_right_token_one_is_told_to_log_in(
    hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.add("owner/theirs", {"x": b"y"})
    for token in (None, STRANGER):
        with pytest.raises(CheckpointError, match=r"theirs can't be uploaded.*hf auth login"):
            TinyScheduler().push_to_hub("owner/theirs", token=token)
    with pytest.raises(CheckpointError, match="s is saved, but owner/theirs can't be uploaded"):
        TinyScheduler().save_pretrained(
            tmp_path / "s", push_to_hub=True, repo_id="owner/theirs", token=STRANGER
        )
    assert TinyScheduler.from_pretrained(tmp_path / "s").config.sigma == 0.5


def test_what_else_can_go_wrong(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        TinyScheduler().push_to_hub("owner/steps", token=TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub_server.fault("POST .*/commit/", times=100, status=503)
    with pytest.raises(CheckpointError, match=r"503.*try again"):
        TinyScheduler().push_to_hub("owner/steps", token=TOKEN)
    hub_server.down()
    with pytest.raises(CheckpointError, match="check the connection"):
        TinyScheduler().push_to_hub("owner/steps", token=TOKEN)


def test_a_fault_that_passes_is_waited_for(hub_server: HubServer, pipe: TinyPipeline) -> None:
    hub_server.fault("PUT /large/", status=500)
    hub_server.fault("POST .*/preupload/", status=503)
    pipe.net.push_to_hub("owner/net", token=TOKEN)
    loaded = TinyNet.from_pretrained("owner/net")
    assert same(loaded.state_dict(), pipe.net.state_dict())


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"repo_id": "owner/-bad-"}, "give one like"),
        ({"repo_id": "a/b/c"}, "give one like"),
        ({"repo_id": "owner/.."}, "give one like"),
        ({"repo_id": "x" * 500}, "give one like"),
        ({"repo_id": "a\ud83d"}, "give one like"),
        ({"repo_id": 5}, "repo_id must be str"),
        ({"repo_id": ["o/n"]}, "repo_id must be str"),
        ({"commit_message": 5}, "commit_message must be str"),
        ({"private": "yes"}, "private must be bool"),
        ({"create_pr": None}, "create_pr must be bool"),
        ({"token": 7}, "token must be str or bool"),
    ],
)
@pytest.mark.parametrize("what", ["pipe", "net", "scheduler"])
def test_what_can_not_be_uploaded_is_refused_before_any_work(
    pipe: TinyPipeline, tmp_path: Path, what: str, keywords: dict[str, Any], message: str
) -> None:
    saved: Any = pipe if what == "pipe" else getattr(pipe, what)
    with pytest.raises(ArgumentError, match=message):
        saved.save_pretrained(tmp_path / "mine", push_to_hub=True, **keywords)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ArgumentError, match=message):
        saved.push_to_hub(**{"repo_id": "owner/mine", **keywords})


@pytest.mark.parametrize("subfolder", [5, "../x", "/x"])
def test_a_subfolder_that_leads_elsewhere_is_refused(subfolder: Any) -> None:
    with pytest.raises(ArgumentError, match="subfolder"):
        TinyScheduler().push_to_hub("owner/mine", subfolder=subfolder)
    with pytest.raises(ArgumentError, match="repo_id must be str"):
        TinyScheduler().push_to_hub(None)  # type: ignore[arg-type]


def test_the_name_of_a_folder_that_can_be_no_repository_asks_for_repo_id(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"repo_id='my folder' is not a valid repository name"):
        TinyScheduler().save_pretrained(tmp_path / "my folder", push_to_hub=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_save_leaves_for_itself_is_not_uploaded(
    hub_server: HubServer, tmp_path: Path
) -> None:
    """Another process saves into the folder, or was killed while it did."""
    for name in (".autopipe-saving-0123456789ab/x", "net/.autopipe-saving-0123456789ab-1",
                 "net/config.json.saving"):  # fmt: skip
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("x")
    push_folder(tmp_path / "mine", "owner/mine", token=TOKEN)
    names = hub_server.repositories["owner/mine"].files().keys()
    assert not [name for name in names if "saving" in name]


@pytest.mark.parametrize("request_", ["POST .*/preupload/", "PUT /large/", "POST .*/commit/"])
def test_a_wait_of_a_day_is_refused(
    hub_server: HubServer, pipe: TinyPipeline, request_: str
) -> None:
    hub_server.fault(request_, times=100, status=429, headers={"Retry-After": "86400"})
    with pytest.raises(CheckpointError, match="owner/mine can't be uploaded") as caught:
        pipe.push_to_hub("owner/mine", token=TOKEN)
    # The client has words of its own for one kind of request.
    causes = [caught.value, caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", 0)]
    assert any("asking to wait for 86400 seconds" in str(cause) for cause in causes)
