"""`autopipe download` against a Hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.hub_server import HubServer, hub_server  # noqa: F401

from autopipe.cli import main

from ..checkpoint.conftest import pipe, registry, saved  # noqa: F401


@pytest.fixture
def commit(hub_server: HubServer, saved: Path) -> str:  # noqa: F811
    (saved / "big.ckpt").write_bytes(b"not needed")
    return hub_server.add("owner/name", saved)


def test_a_dry_run_tells_files_and_bytes_and_fetches_none(
    hub_server: HubServer,  # noqa: F811
    commit: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["download", "owner/name", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    files = hub_server.repositories["owner/name"].files()
    del files["big.ckpt"]
    for path, content in files.items():
        assert path in printed
        assert f"{len(content):,}" in printed
    assert commit in printed
    assert "big.ckpt" not in printed
    assert hub_server.fetched() == ["model_index.json"]


def test_json_says_what_was_fetched_and_where(
    hub_server: HubServer,  # noqa: F811
    commit: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["download", "owner/name", "--json", "--without", "checker"]
    assert main([*line, "--dry-run"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["folder"] is None
    assert main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert {**planned, "folder": told["folder"]} == told
    assert told["commit"] == commit
    assert sorted(file["path"] for file in told["files"]) == hub_server.fetched()
    assert told["bytes"] == sum(file["bytes"] for file in told["files"])
    assert (Path(told["folder"]) / "model_index.json").is_file()
    assert main(line) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["bytes_to_fetch"] == 0
    assert not any(file["to_fetch"] for file in again["files"])


def test_a_variant_that_is_not_there_is_an_error_in_words(
    hub_server: HubServer,  # noqa: F811
    commit: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["download", "owner/name", "--variant", "fp16"]) == 2
    assert "no weights of the variant 'fp16'" in capsys.readouterr().err
    assert main(["download", "owner/absent"]) == 2
    assert "hf auth login" in capsys.readouterr().err
