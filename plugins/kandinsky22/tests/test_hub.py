"""A decoder and its prior in two repositories of a Hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from support.hub_server import HubServer, hub_server  # noqa: F401
from support.records import settings_in

from autopipe import AutoPipelineForText2Image, KandinskyV22Pipeline, KandinskyV22PriorPipeline
from autopipe.cli import main

CARD = b"---\nprior:\n- owner/prior\n---\n"


@pytest.fixture
def commits(
    build: Callable[..., Any],
    tmp_path: Path,
    hub_server: HubServer,  # noqa: F811
) -> dict[str, str]:
    """The commits of `owner/decoder` and `owner/prior`."""
    build(KandinskyV22Pipeline).save_pretrained(tmp_path / "decoder")
    build(KandinskyV22PriorPipeline).save_pretrained(tmp_path / "prior")
    (tmp_path / "decoder" / "README.md").write_bytes(CARD)
    return {name: hub_server.add(f"owner/{name}", tmp_path / name) for name in ("decoder", "prior")}


# Without a task too: what the Auto classes open is what is wanted of a repository.
@pytest.mark.parametrize("task", [[], ["--task", "text2image"]])
def test_a_plan_for_the_chain_is_what_loading_it_fetches(
    task: list[str],
    commits: dict[str, str],
    hub_server: HubServer,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["download", "owner/decoder", *task, "--json"]
    assert main([*line, "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["commit"] == commits["decoder"]
    assert told["prior"]["commit"] == commits["prior"]
    assert told["bytes"] > told["prior"]["bytes"] > 0
    assert hub_server.fetched() == ["README.md", "model_index.json", "model_index.json"]
    assert main(line) == 0
    planned = [file["path"] for stage in (told, told["prior"]) for file in stage["files"]]
    assert hub_server.fetched() == sorted(["README.md", *planned])
    hub_server.requests.clear()
    pipe = AutoPipelineForText2Image.from_pretrained("owner/decoder")
    assert pipe.prior_prior is not None
    assert hub_server.fetched() == []
    hub_server.down()
    assert AutoPipelineForText2Image.from_pretrained("owner/decoder").unet is not None


def test_the_command_line_takes_another_prior(
    commits: dict[str, str],
    hub_server: HubServer,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub_server.add("owner/other", tmp_path / "prior")
    line = ["download", "owner/decoder", "--prior", "owner/other"]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "owner/other" in printed
    assert "owner/prior" not in printed
    line = ["--model", "owner/decoder", "--prior", "owner/other", "--steps", "1", "--size", "16"]
    output = tmp_path / "cat.png"
    assert main(["generate", "a cat", *line, "--device", "cpu", "-q", "-o", str(output)]) == 0
    with PIL.Image.open(output) as image:
        assert settings_in(image.filename)["prior"].startswith("owner/other@")


def test_the_prior_is_of_one_commit_of_its_own(
    commits: dict[str, str],
    hub_server: HubServer,  # noqa: F811
) -> None:
    decoder, prior = (hub_server.repositories[f"owner/{name}"] for name in commits)
    decoder.refs["v1"] = commits["decoder"]  # The prior has no such revision, and isn't asked.
    moved = {**prior.files(), "prior/diffusion_pytorch_model.safetensors": b"of a later commit"}
    # Once its commit is known, the branch moves on.
    hub_server.fault("owner/prior/resolve", then=lambda: prior.commit(moved))
    pipe = AutoPipelineForText2Image.from_pretrained("owner/decoder", revision="v1")
    assert prior.refs["main"] != commits["prior"]
    assert pipe.origins == {
        "": f"owner/decoder@{commits['decoder']}",
        "prior": f"owner/prior@{commits['prior']}",
    }
    paths = [request.path for request in hub_server.requests if "owner/prior" in request.path]
    infos = [path for path in paths if path.startswith("/api/models/") and "/tree/" not in path]
    assert infos == ["/api/models/owner/prior"]
    files = [path.split("/resolve/")[1] for path in paths if "/resolve/" in path]
    assert {file.partition("/")[0] for file in files} == {commits["prior"]}
