"""`autopipe tune` on the demo, with an engine that needs no runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from autopipe import DiffusionPipeline
from autopipe.attaching.engine import NetworkEngine
from autopipe.cli import main
from autopipe.manifest import Engine, Manifest
from autopipe.registry import register
from autopipe.resolution.targets import target_of

DEMO = "demo:stable_diffusion"


class Same(NetworkEngine):
    """Runs a network as it is."""

    name = "same"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        return getattr(network, method)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from autopipe.registry import default_registry

    monkeypatch.setattr("autopipe.registry._default", default_registry())
    register(Manifest("sameness", engines=(Engine("same", target_of(Same)),)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


def test_it_prints_what_it_measured_and_auto_finds_what_it_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    line = ["tune", DEMO, "--engine", "same", "--steps", "10", "--seconds", "5"]
    assert main([*line, "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert parts[0]["part"] == "unet.forward"
    assert {"unet.forward": 10, "vae.decode": 1}.items() <= {
        part["part"]: part["calls"] for part in parts
    }.items()
    measured = {one["engine"]: one for one in parts[0]["measured"]}
    assert list(measured) == ["eager", "same"]
    assert measured["same"]["difference"] == 0.0
    assert measured["same"]["seconds"] > 0
    # An engine that does the same can't be worth it but by chance; what matters is that it counts.
    (tmp_path / "autopipe" / "choices.json").write_text(
        (tmp_path / "autopipe" / "choices.json").read_text().replace('"eager"', '"same"')
    )
    pipe = DiffusionPipeline.from_pretrained(DEMO, engine="auto")
    pipe.set_progress_bar_config(disable=True)
    pipe("a red circle", num_inference_steps=2)
    (auto,) = {id(one): one for one in pipe._pool.engines.values()}.values()
    (function,) = pipe._pool.prepared.form(pipe.unet).function("forward")._chosen.values()
    assert function.__self__ is pipe.unet
    assert auto.name == "auto"


def test_its_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", DEMO, "--engine", "same", "--seconds", "2", "--size", "64x96"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["part", "engine", "ready", "call", "share", "differs"]
    assert "unet.forward" in lines[1]
    assert "a call of 30 steps" in " ".join(lines)
    assert main(["tune", DEMO, "--engine", "sane"]) == 2
    assert "Did you mean 'same'" in capsys.readouterr().err
