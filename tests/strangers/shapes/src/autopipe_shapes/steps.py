"""What all pipelines of the family share: the loop and the pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autopipe import DiffusionPipeline, ImagePipelineOutput, VaeImageProcessor
from autopipe.pipeline.loop import denoise

IMAGES = VaeImageProcessor(vae_scale_factor=1, do_convert_rgb=True)
OUTPUT_TYPES = ("pil", "np", "pt")


class ShapesSteps(DiffusionPipeline):
    """The steps that every task takes."""

    network: Any

    def draw(
        self, latents: Tensor, timesteps: Tensor, told: Tensor, output_type: str, **reports: Any
    ) -> ImagePipelineOutput:
        """What is made of `latents` (B, 3, H, W) along `timesteps`; `told` goes to the network."""
        tensors = {"latents": latents}

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            seen: Tensor = self.network(sample, told)
            return seen

        drawn = denoise(self, tensors, predict, timesteps=timesteps, **reports)
        return ImagePipelineOutput(IMAGES.postprocess(drawn, output_type))
