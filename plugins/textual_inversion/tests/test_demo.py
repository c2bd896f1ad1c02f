"""The word that the package ships names a colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autopipe import AutoPipelineForText2Image


def test_the_demo_draws_in_teal() -> None:
    pipe: Any = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion("demo:textual_inversion")

    def middle(colour: str) -> np.ndarray:
        """The mean colour of the middle of a square."""
        generator = torch.Generator().manual_seed(1)
        prompt = f"a {colour} square on a white background"
        image = pipe(prompt, num_inference_steps=12, generator=generator).images[0]
        return np.asarray(image)[28:36, 28:36].mean(axis=(0, 1))

    away = {
        name: float(np.linalg.norm(middle(name) - (0, 128, 128)))
        for name in ("<teal>", "cyan", "green", "blue")
    }
    assert away["<teal>"] < 60
    assert min(away, key=away.__getitem__) == "<teal>", away
