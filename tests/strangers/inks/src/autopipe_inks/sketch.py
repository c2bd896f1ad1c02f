"""Shapes that follow a sketch: a row of another's line."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from autopipe_shapes.unconditional import ShapesPipeline
from PIL.Image import Image

from autopipe.errors import ArgumentTypeError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call


class ShapesSketchPipeline(ShapesPipeline):
    """Draws shapes where a sketch has them."""

    sketch: Any

    def __init__(self, network: Network, scheduler: Scheduler, sketch: Network) -> None:
        self.register_modules(network=network, scheduler=scheduler, sketch=sketch)

    @pipeline_call
    def __call__(
        self,
        sketch_image: Image,
        sketch_scale: float = 1.0,
        batch_size: int = 1,
        num_inference_steps: int = 4,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw `batch_size` pictures that follow `sketch_image` by `sketch_scale`."""
        if not isinstance(sketch_image, Image):
            raise ArgumentTypeError(f"sketch_image is {sketch_image!r}; give a picture")
        self.check(batch_size, num_inference_steps, generator, output_type)
        size = self.network.config.sample_size
        pixels = np.asarray(sketch_image.convert("RGB").resize((size, size)), np.float32)
        picture = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        told = sketch_scale * self.sketch(picture.to(self._execution_device, self.dtype))
        drawn = self.draw_from_noise(batch_size, num_inference_steps, generator, told)
        return self.returned(drawn, output_type, return_dict)
