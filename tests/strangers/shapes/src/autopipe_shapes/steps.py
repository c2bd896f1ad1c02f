"""What all pipelines of the family share: the checks, the loop and the pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autopipe import DiffusionPipeline, ImagePipelineOutput
from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import denoise
from autopipe.utils import pt_to_pil


class ShapesSteps(DiffusionPipeline):
    """The steps that every task takes."""

    network: Any

    def check(self, count: int, steps: int, generator: Any, output_type: str) -> None:
        """Refuse what can't work, before any work.

        Raises:
            ArgumentError: an argument can't be used.
        """
        if not isinstance(steps, int) or min(count, steps) < 1:
            raise ArgumentError("give 1 or more pictures and steps")
        if isinstance(generator, list) and len(generator) != count:
            raise ArgumentError(f"there are {len(generator)} generators for {count} pictures")
        if output_type not in ("pil", "np", "pt"):
            raise ArgumentError(f"output_type is {output_type!r}; give 'pil', 'np' or 'pt'")

    def draw(self, latents: Tensor, timesteps: Tensor, told: Tensor, **reporting: Any) -> Tensor:
        """The pictures at the end of `timesteps`, (B, 3, H, W) in [-1, 1]."""
        tensors = {"latents": latents}

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            seen: Tensor = self.network(sample, told)
            return seen

        return denoise(self, tensors, predict, timesteps=timesteps, **reporting)

    def returned(self, drawn: Tensor, output_type: str, return_dict: bool = True) -> Any:
        """The pictures in the form asked for."""
        images: Any = (drawn / 2 + 0.5).clamp(0, 1).float().cpu()
        if output_type == "pil":
            images = pt_to_pil(drawn)
        elif output_type == "np":
            images = images.permute(0, 2, 3, 1).numpy()
        return ImagePipelineOutput(images) if return_dict else (images,)
