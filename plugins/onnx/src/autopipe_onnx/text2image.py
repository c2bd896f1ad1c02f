"""Text to image with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from autopipe_stable_diffusion.text2image import StableDiffusionPipeline

from .steps import OnnxStableDiffusionSteps


class OnnxStableDiffusionPipeline(OnnxStableDiffusionSteps, StableDiffusionPipeline):
    """Text to image with Stable Diffusion 1.x and 2.x, run by ONNX Runtime."""

    def begin_call(self) -> int:
        batch_size = super().begin_call()
        self.start_from_noise(batch_size)
        return batch_size
