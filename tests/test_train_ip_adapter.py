"""The examples that draw pairs of pictures and train an IP-Adapter from them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import AutoPipelineForText2Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object) -> None:
    program: dict[str, Any] = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert program["main"]([str(one) for one in arguments]) == 0


def test_an_adapter_is_trained_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "path", [*sys.path])
    data, result = tmp_path / "pairs", tmp_path / "result"
    run("draw_pairs", data, "--count", 6, "--seed", 3)
    lines = [json.loads(one) for one in (data / "metadata.jsonl").read_text().splitlines()]
    assert len({one["file_name"] for one in lines}) == 6
    assert all(Image.open(data / one["prompt"]).size == (64, 64) for one in lines)
    options = ("--data", data, "--batch", 2, "--width", 16, "--guided", 3)
    run("train_ip_adapter", *options, "--to", result, "--steps", 2)
    pipe: Any = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(result)
    drawn = [
        pipe(
            "",
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(1),
            ip_adapter_image=Image.open(data / one["prompt"]),
            output_type="np",
        ).images[0]
        for one in lines[:2]
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 0
    # It goes on from its state, so the result is another one.
    run("train_ip_adapter", *options, "--to", result, "--steps", 3, "--resume")
    state = torch.load(result / "state.pt", weights_only=True)
    assert state["step"] == 3
