"""A decoder that starts from noise."""

from __future__ import annotations

from torch import Tensor

from autopipe.pipeline.loop import Tensors

from ..stages.checks import check_network_channels, check_steps
from ..stages.codec import Generators
from ..stages.reports import Reports
from ..stages.text2image import check_latents, start_from_noise
from ..stages.timesteps import set_schedule
from .decoder import EmbeddingDecoder


class FromNoise(EmbeddingDecoder):
    """The steps of a decoder that starts from noise."""

    def _check_start(
        self,
        batch_size: int,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        latents: Tensor | None,
    ) -> None:
        """Refuse what a start from noise can't use.

        Raises:
            ArgumentError, ArgumentTypeError: it is so.
        """
        check_steps(num_inference_steps)
        self._check_channels()
        if latents is not None:
            check_latents(latents, self._latent_shape(batch_size, height, width))

    def _check_channels(self) -> None:
        check_network_channels(self.unet.config.in_channels, self._codec.channels)

    def _latent_shape(self, batch_size: int, height: int, width: int) -> tuple[int, ...]:
        return (batch_size, self._codec.channels, *self._latent_size(height, width))

    def _draw(
        self,
        tensors: Tensors,
        batch_size: int,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        generator: Generators,
        latents: Tensor | None,
        reports: Reports,
    ) -> Tensor:
        """The latents of images of what `tensors` hold."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=num_inference_steps,
            device=self._execution_device,
        )
        tensors["latents"] = start_from_noise(
            self._latent_shape(batch_size, height, width),
            generator=generator,
            dtype=tensors["image_embeds"].dtype,
            device=self._execution_device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=latents,
        )
        return self._denoise(
            tensors, self._predictor(tensors), schedule, reports, eta=0.0, generator=generator
        )
