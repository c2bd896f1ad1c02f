"""Image to image: a decoder that changes an image towards embeddings and a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.text2image import unit_noise
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.image2image import FromImage

from .steps import KandinskyImageDecoder, noised


class KandinskyImg2ImgPipeline(KandinskyImageDecoder, FromImage):
    """The decoder of Kandinsky 2.1 for image to image."""

    _guidance_scale = 7.0

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image: ImageInput,
        image_embeds: Embeds,
        negative_image_embeds: Embeds,
        negative_prompt: Prompt | None = None,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        strength: float = 0.3,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: str = "pil",
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        *,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt` and the prior's embeddings of it.

        All other parameters are those of `KandinskyPipeline`.

        Args:
            image: the initial image: PIL, array or tensor, or a list; or latents (N, C, h, w). One
                per prompt, or fewer, which are then repeated.
            strength: the part of the steps to take, in [0, 1], and the amount of noise on the
                image.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`; pixels are in [0, 1].
            latents: noised latents (B, C, h, w), in place of those of `image`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width, rounded as for text to image."""
        rows, columns = self.latent_size(height, width)
        return rows * self.codec.factor, columns * self.codec.factor

    def noise_latents(self, clean: Tensor, timestep: Tensor) -> Tensor:
        """Return `clean` with noise that depends on `strength`, not on the first timestep."""
        level = int(self.scheduler.config["num_train_timesteps"] * self.call.strength) - 2
        return self.prepare_latents(
            clean,
            torch.tensor([max(level, 0)], device=clean.device),
            tuple(clean.shape),
            clean.dtype,
            clean.device,
            self.call.generator,
            self.scheduler,
        )

    def prepare_latents(  # type: ignore[override]  # latents, not images, of another schedule
        self,
        latents: Tensor | None,
        latent_timestep: Tensor,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        scheduler: Any,
    ) -> Tensor:
        """Return latents of `shape` with the noise of `latent_timestep`; see `noised`.

        Args:
            latents: clean latents; by default noise.
            scheduler: the scheduler whose `init_noise_sigma` scales the latents.

        Raises:
            ArgumentError: if latents or generators don't fit `shape`.
        """
        like: dict[str, Any] = {"generator": generator, "dtype": dtype, "device": device}
        clean = unit_noise(tuple(shape), given=latents, **like) * scheduler.init_noise_sigma
        return self.add_noise(clean, unit_noise(tuple(shape), **like), latent_timestep)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `original_samples` at the noise level of `timesteps`; see `noised`."""
        return noised(original_samples, noise, timesteps)
