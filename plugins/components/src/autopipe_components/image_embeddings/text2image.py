"""A decoder that starts from noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autopipe.pipeline.loop import Tensors

from ..stages.checks import check_network_channels, check_steps
from ..stages.codec import Generators
from ..stages.reports import Reports
from ..stages.text2image import check_latents, start_from_noise
from ..stages.timesteps import Schedule, set_schedule
from .decoder import EmbeddingDecoder


@dataclass(frozen=True)
class NoiseStart:
    """What a call starts from.

    Attributes:
        schedule: the steps.
        shape: of the latents, (B, C, h, w).
        latents: the caller's own noise.
    """

    schedule: Schedule
    shape: tuple[int, int, int, int]
    latents: Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in latent cells."""
        return self.shape[2:]


class FromNoise(EmbeddingDecoder):
    """The steps of a decoder that starts from noise."""

    def _prepare(
        self,
        rows: int,
        num_images_per_prompt: int,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        latents: Tensor | None,
    ) -> NoiseStart:
        """Lay out the steps; no network is used.

        Raises:
            ArgumentError, ArgumentTypeError, SchedulerError: an argument can't be used.
        """
        check_steps(num_inference_steps)
        self._check_channels()
        size = self._latent_size(height, width)
        shape = (rows * num_images_per_prompt, self._codec.channels, *size)
        if latents is not None:
            check_latents(latents, shape)
        schedule = set_schedule(
            self.scheduler, num_inference_steps=num_inference_steps, device=self._execution_device
        )
        return NoiseStart(schedule, shape, latents)

    def _check_channels(self) -> None:
        check_network_channels(self.unet.config.in_channels, self._codec.channels)

    def _draw(
        self, tensors: Tensors, start: NoiseStart, *, generator: Generators, reports: Reports
    ) -> Tensor:
        """The latents of images of what `tensors` hold."""
        tensors["latents"] = start_from_noise(
            start.shape,
            generator=generator,
            dtype=tensors["image_embeds"].dtype,
            device=self._execution_device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=start.latents,
        )
        return self._denoise(
            tensors, self._predictor(tensors), start.schedule, reports, eta=0.0, generator=generator
        )
