"""Text to image with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from autopipe_stable_diffusion.text2image import StableDiffusionPipeline

from .steps import OnnxStableDiffusionSteps


class OnnxStableDiffusionPipeline(OnnxStableDiffusionSteps, StableDiffusionPipeline):
    """Text to image with Stable Diffusion 1.x and 2.x, run by ONNX Runtime."""

    def begin_call(self) -> int:
        batch_size = super().begin_call()
        if self.call.latents is None:
            shape = self.latent_shape(batch_size, *self.resolve_size())
            self.call = self.call.replace(latents=self.numpy_noise(shape))
        return batch_size
