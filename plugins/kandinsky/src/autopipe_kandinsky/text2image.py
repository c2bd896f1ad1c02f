"""A decoder that starts from noise."""

from __future__ import annotations

from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import check_steps
from autopipe_components.steps.text2image import check_latents

from .decoder import EmbeddingDecoder, Start
from .methods import NoiseMethods


class FromNoise(NoiseMethods, EmbeddingDecoder):
    """Starts from noise, or from the caller's `latents`."""

    def prepare_start(self, rows: int) -> Start:
        call = self.call
        check_steps(call.num_inference_steps)
        self.check_denoiser()
        size = self.latent_size(call.height, call.width)
        if call.latents is not None:
            check_latents(call.latents, self._shape(rows, size))
        return Start(rows, size, self.make_schedule())

    def _denoised(self, tensors: Tensors, start: Start, callbacks: StepCallbacks) -> Tensor:
        tensors["latents"] = self.prepare_latents(
            self._shape(start.rows, start.size),
            tensors["image_embeds"].dtype,
            self._execution_device,
            self.call.generator,
            self.call.latents,
            self.scheduler,
        )
        return self.denoise_latents(tensors, start, callbacks)
