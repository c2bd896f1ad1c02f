"""Inpainting by example: repaints the masked part of an image with what another one shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.fit import size_of
from autopipe_components.images.kinds import ImageInput, as_list, count_of
from autopipe_components.latent import LatentInpaint
from autopipe_components.safety import check_safety
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import check_image
from autopipe_components.steps.codec import Generators, tile
from autopipe_components.steps.given import checks_of
from autopipe_components.steps.inpaint import Inpainting
from autopipe_components.steps.prompt import join_halves
from autopipe_components.steps.seen import seen_pixels
from autopipe_stable_diffusion.checked import CheckedOutput
from autopipe_stable_diffusion.output import Result


class PaintByExamplePipeline(CheckedOutput[Result], LatentInpaint[Result]):
    """Inpainting with a picture in place of a prompt (Paint by Example, arXiv 2211.13227).

    Args:
        vae: an `AutoencoderKL`.
        image_encoder: a `PaintByExampleImageEncoder`.
        unet: a `UNet2DConditionModel` that takes latents, masked image and mask.
        scheduler: any scheduler.
        safety_checker: a `StableDiffusionSafetyChecker`, or a function `(images, clip_input)` that
            returns images and flags; with None, images are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, for the image encoder and the safety
            checker.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "unet->vae"
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("image_encoder",)
    _optional_components: ClassVar[tuple[str, ...]] = ("safety_checker",)
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "mask",
        "masked_image_latents",
    )
    required_components = ("vae", "image_encoder", "unet", "scheduler")

    check_inputs = checks_of("image height width callback_steps")

    def __init__(
        self,
        vae: Network,
        image_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        requires_safety_checker: bool = False,
    ) -> None:
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=requires_safety_checker,
            license_of="Stable Diffusion",
        )
        self.register_modules(
            vae=vae,
            image_encoder=image_encoder,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(requires_safety_checker=requires_safety_checker)

    @pipeline_call
    def __call__(
        self,
        example_image: ImageInput,
        image: ImageInput,
        mask_image: ImageInput,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 5.0,
        negative_prompt: Any = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with what `example_image` shows.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            example_image: PIL or an array, or a list, which are resized; or the output of the
                feature extractor, a tensor (N, 3, H, W) of the size that the image encoder takes.
                One for all images, or one for each.
            image: the image: PIL, array or tensor, or a list. One for all examples, or one for
                each.
            mask_image: the mask, of the same types; values of at least 0.5 are repainted.
            height, width: in pixels, multiples of 8, to which the image is resized; by default its
                own size.
            guidance_scale: how closely to follow the example; guidance is off at 1 and below.
            negative_prompt: ignored; guidance leads away from a vector that was learned.
            num_images_per_prompt: the number of results for each image or example. One of each
                comes first, then the second of each, and so on.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        check_image(given["image"])

    def begin_call(self) -> int:
        self.call = self.call.replace(strength=1.0)
        return super().begin_call()

    def check_prompts(self) -> int:
        call = self.call
        check_image(call.example_image, "example_image")
        check_image(call.image)
        counts = count_of(call.example_image), count_of(call.image)
        if len({*counts, 1}) > 2:
            raise ArgumentError(
                f"got {counts[0]} examples for {counts[1]} images; give one for all, or one for "
                f"each"
            )
        seen_pixels(self, call.example_image, "example_image")
        return max(counts)

    def check_denoiser(self) -> None:
        found, wanted = self.denoiser_in_channels, 2 * self.codec.channels + 1
        if found != wanted:
            raise ArgumentError(
                f"Paint by Example needs a network with {wanted} input channels, for latents, "
                f"masked image and mask, and this one has {found}; load a checkpoint of it"
            )

    def default_size(self) -> tuple[int, int]:
        """Return height and width of the image."""
        image = as_list(self.call.image)[0]
        if getattr(image, "ndim", 4) == 3:  # size_of takes batches
            image = image[None]
        return size_of(image)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, encoder = self.call, self.image_encoder
        seen = seen_pixels(self, call.example_image).to(self._execution_device, encoder.dtype)
        embeds, absent = encoder(seen, return_uncond_vector=True)
        rows = max(len(seen), count_of(call.image)) * call.num_images_per_prompt
        # In the order in which images are repeated.
        embeds = tile(embeds, rows, "examples")
        if self.do_classifier_free_guidance:
            embeds = join_halves(embeds, absent.to(embeds).expand_as(embeds))
        return {"image_embeds": embeds}

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        dtype: torch.dtype = tensors["image_embeds"].dtype
        return dtype

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {"encoder_hidden_states": tensors["image_embeds"]}

    def mask_channels(self, inpainting: Inpainting) -> Sequence[Tensor]:
        mask, masked = inpainting.extra_channels()
        return masked, 1 - mask
