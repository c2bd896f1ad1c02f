"""Enlarges pictures four times without a prompt, as latent diffusion was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.kinds import Network, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.kinds import ImageInput, count_of, kind_of
from autopipe_components.steps.checks import check_colours, check_image
from autopipe_components.steps.codec import Codec, Generators, NoCodec, VaeCodec

from .pictures import BesidePicture

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

_MULTIPLE = 32
"""The sides of PIL pictures are rounded down to multiples of this."""


class LDMSuperResolutionPipeline(BesidePicture[Result]):
    """Enlarges pictures, without a prompt.

    The latents have the size of the picture, which joins them; the autoencoder decodes them
    enlarged. "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022).

    Args:
        vqvae: a `VQModel`. Its `scaling_factor` is not used.
        unet: a `UNet2DModel` that takes latents and picture.
        scheduler: any scheduler.
    """

    model_cpu_offload_seq = "unet->vqvae"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image_latents")
    autoencoder_name = "vqvae"
    required_components = ("vqvae", "unet", "scheduler")
    output_class = ImagePipelineOutput
    # The network has no such input.
    guidance_embedding_dim = None

    vqvae: Any

    def __init__(self, vqvae: Network, unet: Network, scheduler: Scheduler) -> None:
        self.register_modules(vqvae=vqvae, unet=unet, scheduler=scheduler)

    @property
    def codec(self) -> Codec:
        if self.vqvae is None:
            return NoCodec(self.autoencoder_name, int(self.unet.config.in_channels) // 2, 4)
        return VaeCodec(self.vqvae, scaling=1.0)

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """The processor that converts images to tensors and back."""
        return VaeImageProcessor(
            vae_scale_factor=_MULTIPLE, vae_latent_channels=0, do_convert_rgb=True
        )

    @pipeline_call
    def __call__(
        self,
        image: ImageInput = None,  # type: ignore[assignment]
        batch_size: int | None = 1,
        num_inference_steps: int = 100,
        eta: float = 0.0,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Enlarge `image`.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            image: the picture: PIL, rounded down to multiples of 32 pixels, or an array or tensor,
                or a list. Tensors have values in [-1, 1], or in [0, 1] if none is negative.
            batch_size: ignored, as in diffusers: there is a result for each picture.
            num_inference_steps: the number of denoising steps; more give better images.
            eta: the noise that DDIM adds in each step, in [0, 1]; other schedulers ignore it.
            generator: the random generator, or a list with one per image.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            latents: the initial noise (B, C, h, w), of the size of the picture.

        Returns:
            `ImagePipelineOutput`, or a tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        if kind_of(image, "image") == "pil":
            return super().image_to_pixels(image)
        return VaeImageProcessor(do_resize=False, vae_latent_channels=0).preprocess(image)

    def check_prompts(self) -> int:
        """Return the number of pictures: there are no prompts."""
        check_image(self.call.image)
        return count_of(self.call.image)

    def check_beside(self, pixels: Tensor) -> None:
        check_colours(pixels)
        super().check_beside(pixels)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        return {}

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    def encode_beside(self, pixels: Tensor, batch_size: int) -> Tensors:
        return {"image_latents": pixels}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        latents, picture = sample.tensor_split([self.codec.channels], dim=1)
        # The networks were trained with a scheduler that scales nothing; others scale both.
        picture = self.scheduler.scale_model_input(picture, timestep)
        sample = torch.cat((latents, picture), dim=1)
        prediction: Tensor = self.denoiser(sample, timestep, return_dict=False, **inputs)[0]
        return prediction
