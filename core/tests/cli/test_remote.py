"""`resolve` and `inspect` of a repository fetch no weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support.hub_server import HubServer, hub_server  # noqa: F401

from autopipe.cli import main

from ..checkpoint.conftest import pipe, registry, saved  # noqa: F401

WEIGHTS = "net/diffusion_pytorch_model.safetensors"


@pytest.fixture
def large(hub_server: HubServer, saved: Path) -> dict[str, bytes]:  # noqa: F811
    """`owner/name`, whose network has 4 MB; returns its files."""
    state = load_file(saved / WEIGHTS)
    state["more"] = state["seed"].new_zeros(1_000_000)
    save_file(state, saved / WEIGHTS)
    hub_server.add("owner/name", saved)
    return hub_server.repositories["owner/name"].files()


def told(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> dict[str, object]:
    assert main([*line, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_resolve_fetches_the_index(
    hub_server: HubServer,  # noqa: F811
    large: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told(capsys, "resolve", "owner/name")["class"] == "TinyPipeline"
    assert hub_server.fetched() == ["model_index.json"]


def test_inspect_fetches_headers(
    hub_server: HubServer,  # noqa: F811
    large: dict[str, bytes],
    saved: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    remote = told(capsys, "inspect", "owner/name")
    assert [p for p in hub_server.fetched() if not p.endswith(".safetensors")] == [
        "checker/config.json",
        "model_index.json",
        "net/config.json",
        "text_encoder/config.json",
    ]
    ranges = [request.range for request in hub_server.sent(WEIGHTS)]
    assert ranges == ["bytes=0-65535"]
    local = told(capsys, "inspect", str(saved))
    assert remote["components"] == local["components"]
    assert remote["commit"] == hub_server.repositories["owner/name"].refs["main"]


def test_a_header_larger_than_the_first_request(
    hub_server: HubServer,  # noqa: F811
    saved: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = load_file(saved / WEIGHTS)
    state.update({f"{n:050}": state["seed"].clone() for n in range(1000)})
    save_file(state, saved / WEIGHTS)
    hub_server.add("owner/name", saved)
    remote = told(capsys, "inspect", "owner/name")
    assert remote["components"] == told(capsys, "inspect", str(saved))["components"]
    assert len(hub_server.sent(WEIGHTS)) == 2


def test_a_truncated_file_of_the_hub_is_found_by_its_header(
    hub_server: HubServer,  # noqa: F811
    large: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub_server.add("owner/cut", {**large, WEIGHTS: large[WEIGHTS][:-1000]})
    assert main(["inspect", "owner/cut"]) == 1
    assert "1,000 are missing" in " ".join(capsys.readouterr().out.split())
    hub_server.add(
        "owner/pointer", {**large, WEIGHTS: b"version https://git-lfs.github.com/spec/v1"}
    )
    assert main(["inspect", "owner/pointer"]) == 1
    assert "Git LFS pointer" in " ".join(capsys.readouterr().out.split())


def test_values_that_are_no_numbers_are_found_on_this_machine(
    saved: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = load_file(saved / WEIGHTS)
    state["seed"][1:3] = float("nan")
    save_file(state, saved / WEIGHTS)
    assert main(["inspect", str(saved)]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{WEIGHTS} has 2 values that are NaN or infinite in seed" in printed
    assert main(["inspect", str(saved), "--headers"]) == 0
