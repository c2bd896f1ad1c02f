"""What the pipelines share that start from noise."""

from __future__ import annotations

from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.text2image import check_latents, start_from_noise
from autopipe_components.steps.timesteps import Schedule

from .pixels import CHANNELS
from .steps import IFSteps, Start


class IFNoiseSteps(IFSteps):
    """Starts from noise alone, or from the caller's `latents`."""

    def _prepare(self) -> Start:
        """As of `IFSteps`: the size that a call says, or that the U-Net was trained for."""
        call, default = self.call, self._sample_size()
        height = default[0] if call.height is None else call.height
        width = default[1] if call.width is None else call.width
        self._check_size(height, width)
        shape = (self._batch_size, CHANNELS, height, width)
        if call.latents is not None:
            check_latents(call.latents, shape)

        def start(tensors: Tensors, schedule: Schedule) -> None:
            tensors["latents"] = start_from_noise(
                shape,
                generator=call.generator,
                dtype=tensors["prompt_embeds"].dtype,
                device=self._execution_device,
                init_noise_sigma=self.scheduler.init_noise_sigma,
                latents=call.latents,
            )

        return start
