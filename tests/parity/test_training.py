"""What the programs of `examples/` train draws the same pictures in both libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.training import run_example, train

from autopipe import AutoPipelineForText2Image
from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""


def drawn(pipe: Any, prompt: str) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipe(prompt, num_inference_steps=3, generator=generator, output_type="np").images
    return torch.as_tensor(images)


def both(folder: str) -> tuple[Any, Any]:
    """The pipelines of a checkpoint here and in diffusers."""
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    return AutoPipelineForText2Image.from_pretrained(folder, torch_dtype=torch.float32), theirs


@pytest.fixture(scope="module")
def demo() -> str:
    return str(demo_folder("stable_diffusion", default_registry()))


def test_a_lora(demo: str, tmp_path: Path) -> None:
    run_example("draw_pictures", "outlines", str(tmp_path / "data"), "--count", "2")
    layers = ("--layers", "to_q", "to_out.0", "ff.net.2", "conv1", "--rank", "2", "--half")
    folder = str(train("lora", tmp_path / "data", tmp_path / "made", 3, *layers))
    pipes = both(demo)
    plain = drawn(pipes[0], "a red circle")
    for pipe in pipes:
        pipe.load_lora_weights(folder)
    ours, theirs = (drawn(pipe, "a red circle") for pipe in pipes)
    assert float((ours - theirs).abs().max()) < TOLERANCE
    assert float((ours - plain).abs().max()) > 100 * TOLERANCE


def test_a_word(demo: str, tmp_path: Path) -> None:
    run_example("draw_pictures", "teal", str(tmp_path / "data"), "--count", "2", "--token", "<x>")
    word = ("--token", "<x>", "--like", "cyan", "--vectors", "2")
    folder = str(train("textual_inversion", tmp_path / "data", tmp_path / "made", 2, *word))
    pipes = both(demo)
    plain = drawn(pipes[0], "a <x> circle")
    for pipe in pipes:
        pipe.load_textual_inversion(folder)
    ours, theirs = (drawn(pipe, "a <x> circle") for pipe in pipes)
    assert float((ours - theirs).abs().max()) < TOLERANCE
    assert float((ours - plain).abs().max()) > 100 * TOLERANCE


def test_a_subject(demo: str, tmp_path: Path) -> None:
    run_example("draw_pictures", "halves", str(tmp_path / "data"), "--count", "2")
    made = train("dreambooth", tmp_path / "data", tmp_path / "made", 2, "--average", "0.5")
    plain = drawn(both(demo)[0], "a zork circle")
    ours, theirs = (drawn(pipe, "a zork circle") for pipe in both(str(made / "pipeline")))
    assert float((ours - theirs).abs().max()) < TOLERANCE
    assert float((ours - plain).abs().max()) > 10 * TOLERANCE
