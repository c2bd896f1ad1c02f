"""Shapes that follow a sketch: a row of another's line."""

from __future__ import annotations

from typing import Any

import torch

from autopipe import ImagePipelineOutput
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe_components.steps.checks import check_image
from autopipe_shapes.steps import IMAGES
from autopipe_shapes.unconditional import ShapesPipeline


class ShapesSketchPipeline(ShapesPipeline):
    """Draws shapes where a sketch has them."""

    sketch: Any

    def __init__(self, network: Network, scheduler: Scheduler, sketch: Network) -> None:
        self.register_modules(network=network, scheduler=scheduler, sketch=sketch)

    @pipeline_call
    def __call__(
        self,
        sketch_image: Any,
        sketch_scale: float = 1.0,
        batch_size: int = 1,
        num_inference_steps: int = 4,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draw `batch_size` pictures that follow `sketch_image` by `sketch_scale`."""
        self.check()
        check_image(sketch_image, "sketch_image")
        size = self.network.config.sample_size
        picture = IMAGES.preprocess(sketch_image, size, size)
        told = sketch_scale * self.sketch(picture.to(self._execution_device, self.dtype))
        return self.draw_from_noise(told)
