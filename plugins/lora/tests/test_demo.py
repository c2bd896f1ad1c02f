"""The LoRA that the package ships draws outlines of shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autopipe import AutoPipelineForText2Image


def test_the_demo_draws_outlines() -> None:
    pipe: Any = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights("demo:lora", adapter_name="outlines")

    def red(**call: Any) -> tuple[float, float]:
        """How much red there is in the middle of a circle, and in all of the picture."""
        generator = torch.Generator().manual_seed(1)
        prompt = "a red circle on a white background"
        image = pipe(prompt, num_inference_steps=12, generator=generator, **call).images[0]
        pixels = np.asarray(image).astype(int)
        is_red = (pixels[..., 0] - pixels[..., 1:].max(-1)) > 80
        return float(is_red[29:35, 29:35].mean()), float(is_red.mean())

    (centre, whole), (plain_centre, plain) = red(), red(adapters={})
    assert plain_centre == 1
    assert centre == 0
    assert 0.02 < whole < plain
