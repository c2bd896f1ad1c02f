"""The steps that pipelines that start from noise share."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.text2image import check_latents, start_from_noise
from autopipe_components.steps.timesteps import Schedule

from .pixels import CHANNELS
from .steps import IFSteps, Start


class IFNoiseSteps(IFSteps):
    """Starts from noise, or from the caller's `latents`."""

    def prepare_start(self) -> Start:
        """Check the arguments, and return the start from noise.

        The size is that of the call, or the training resolution of the U-Net.
        """
        call, default = self.call, self.trained_size()
        height = default[0] if call.height is None else call.height
        width = default[1] if call.width is None else call.width
        self._check_size(height, width)
        shape = (self._batch_size, CHANNELS, height, width)
        if call.latents is not None:
            check_latents(call.latents, shape)

        def start(tensors: Tensors, schedule: Schedule) -> None:
            dtype, device = tensors["prompt_embeds"].dtype, self._execution_device
            if call.latents is None:
                first = self.prepare_intermediate_images(*shape, dtype, device, call.generator)
            else:
                first = call.latents.to(device, dtype) * self.scheduler.init_noise_sigma
            tensors["latents"] = first

        return start

    def prepare_intermediate_images(
        self,
        batch_size: int,
        num_channels: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
    ) -> Tensor:
        """Return noise of that shape with the scheduler's initial standard deviation.

        Raises:
            ArgumentError: if the number of generators differs from the batch size.
        """
        return start_from_noise(
            (batch_size, num_channels, height, width),
            generator=generator,
            dtype=dtype,
            device=device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
        )
