"""The training programs in `examples/` teach, go on where they stopped, and keep the rest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.training import example, run_example, train

from autopipe import AutoPipelineForText2Image, DDIMScheduler, DiffusionPipeline

TEAL = ("--token", "<teal>", "--like", "dark cyan", "--vectors", "2")


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with pictures of each way of drawing."""
    folder = tmp_path_factory.mktemp("lessons")
    for way, token in (("outlines", "zork"), ("teal", "<teal>"), ("halves", "zork")):
        run_example("draw_pictures", way, str(folder / way), "--count", "3", "--token", token)
    return folder


@pytest.fixture(scope="module")
def demo() -> Any:
    return AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")


def test_pictures_are_drawn_in_each_way(lessons: Path) -> None:
    with Image.open(lessons / "teal" / "0000.png") as image:
        assert (0, 128, 128) in {colour for _, colour in image.getcolors()}
    with Image.open(lessons / "halves" / "0002.png") as image:
        assert image.getpixel((28, 32)) == (214, 38, 40)
        assert image.getpixel((36, 32)) == (36, 64, 212)
    said = (lessons / "outlines" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(said) == 3


def test_a_word_is_learned_and_training_goes_on(
    lessons: Path, tmp_path: Path, demo: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def taught(name: str, steps: int, *more: str) -> Path:
        options = (*TEAL, "--schedule", "constant", *more)
        return train("textual_inversion", lessons / "teal", tmp_path / name, steps, *options)

    whole, parts = taught("whole", 3), taught("parts", 1)
    assert "step 3 of 3" in capsys.readouterr().out
    taught("parts", 3, "--resume")
    assert "going on after step 1\nstep 2 of 3" in capsys.readouterr().out
    rows = [load_file(one / "learned_embeds.safetensors")["<teal>"] for one in (parts, whole)]
    assert torch.equal(*rows)
    assert rows[0].shape == (2, 96)

    demo.load_textual_inversion(whole)
    ids = demo.tokenizer("dark cyan", add_special_tokens=False).input_ids
    table = demo.text_encoder.get_input_embeddings().weight
    assert not torch.allclose(table[-2:], table[ids[:2]].float(), atol=1e-3)
    demo.unload_textual_inversion()


def test_a_subject_is_learned_with_its_class(lessons: Path, tmp_path: Path, demo: Any) -> None:
    made = train(
        "dreambooth", lessons / "halves", tmp_path / "made", 2,
        "--class-prompt", "a circle", "--class-pictures", "2", "--class-steps", "1",
        "--snr-gamma", "5", "--gradient-checkpointing", "--accumulate", "2",
    )  # fmt: skip
    taught = DiffusionPipeline.from_pretrained(made / "pipeline", torch_dtype=torch.float32)
    before, after = (
        torch.cat([one.detach().float().flatten() for one in pipe.unet.parameters()])
        for pipe in (demo, taught)
    )
    assert 0 < float((before - after).abs().max()) < 0.1
    for name in ("vae", "text_encoder"):
        states = [getattr(pipe, name).state_dict() for pipe in (demo, taught)]
        assert all(torch.equal(states[0][n].float(), states[1][n]) for n in states[0])


def test_min_snr_weights_are_those_of_the_paper() -> None:
    options = argparse.Namespace(snr_gamma=5.0, guided=1.0)
    process = DDIMScheduler()
    timesteps = torch.tensor([0, 300, 999])
    ratio = process.alphas_cumprod / (1 - process.alphas_cumprod)
    denoising = example("training")["Denoising"](torch.nn.Identity(), process, options)
    for is_velocity in (False, True):
        weights = denoising._weights(timesteps, is_velocity)
        expected = ratio[timesteps].clamp(max=5) / (ratio[timesteps] + is_velocity)
        assert torch.allclose(weights, expected, rtol=1e-5)
