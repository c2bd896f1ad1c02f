"""Image prompts on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autopipe import AutoPipelineForText2Image
from autopipe.cli.parser import parse
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

from .conftest import SIDE, Adapters, picture, save

PROMPT = "a red circle on a white background"


def drawn(to: Path, *arguments: str) -> np.ndarray:
    words = ["generate", PROMPT, "--steps", "2", "--seed", "1", "--output", str(to), *arguments]
    parsed = parse(words)
    assert parsed.run(parsed) == 0
    return np.asarray(Image.open(to), dtype=float)


def test_a_picture_is_a_prompt(
    encoder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    file = save(Adapters().file("plain", pipe.unet), tmp_path / "models/ip-adapter.safetensors")
    encoder.save_pretrained(tmp_path / "models/image_encoder")
    for seed in (1, 2):
        picture(seed).save(tmp_path / f"{seed}.png")
    plain = drawn(tmp_path / "plain.png")
    one, other = (
        drawn(
            tmp_path / "prompted.png",
            "--ip-adapter",
            f"{source}:0.8",
            "--ip-adapter-image",
            str(tmp_path / f"{seed}.png"),
        )
        for seed, source in ((1, file), (2, file.parent))
    )
    assert np.abs(one - other).max() > 1
    assert np.abs(one - plain).max() > 1
    pipe.load_ip_adapter(file)
    pipe.set_ip_adapter_scale(0.8)
    pipe.set_progress_bar_config(disable=True)
    import torch

    expected = pipe(
        PROMPT,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(1),
        ip_adapter_image=Image.open(tmp_path / "1.png"),
    ).images[0]
    assert np.array_equal(one, np.asarray(expected, dtype=float))


def test_the_extractor_follows_the_encoder(build: Any, encoder: Any, tmp_path: Path) -> None:
    pipe = build("StableDiffusionPipeline", image_encoder=None, feature_extractor=None)
    save(Adapters().file("plain", pipe.unet), tmp_path / "ip-adapter.bin")
    encoder.save_pretrained(tmp_path / "image_encoder")
    pipe.attach("ip_adapter", tmp_path)
    assert isinstance(pipe.feature_extractor, CLIPImageProcessor)
    assert pipe.feature_extractor.crop_size == {"height": SIDE, "width": SIDE}
