"""Variation: draws an image again, from its embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput, count_of
from autopipe_components.latent import LatentText2Image
from autopipe_components.safety import check_safety
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import check_image
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of
from autopipe_components.steps.prompt import join_halves
from autopipe_components.steps.seen import seen_pixels
from autopipe_stable_diffusion.checked import CheckedOutput
from autopipe_stable_diffusion.corrections import correct_sample_size
from autopipe_stable_diffusion.output import Result


class StableDiffusionImageVariationPipeline(CheckedOutput[Result], LatentText2Image[Result]):
    """Variations of an image, with a Stable Diffusion that reads image embeddings for prompts.

    Args:
        vae: an `AutoencoderKL`.
        image_encoder: a `transformers.CLIPVisionModelWithProjection`.
        unet: a `UNet2DConditionModel`.
        scheduler: any scheduler.
        safety_checker: a `StableDiffusionSafetyChecker`, or a function `(images, clip_input)` that
            returns images and flags; with None, images are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, for the image encoder and the safety
            checker.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "image_encoder->unet->vae"
    _optional_components: ClassVar[tuple[str, ...]] = ("safety_checker",)
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image_embeddings")
    required_components = ("image_encoder", "unet", "scheduler")

    check_inputs = checks_of("image height width callback_steps")

    def __init__(
        self,
        vae: Network,
        image_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        requires_safety_checker: bool = True,
    ) -> None:
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=requires_safety_checker,
            license_of="Stable Diffusion",
        )
        correct_sample_size(unet)
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
        image: ImageInput,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
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
        """Generate variations of `image`.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            image: PIL or an array, or a list, which are resized; or the output of the feature
                extractor, a tensor (N, 3, H, W) of the size that the image encoder takes.
            guidance_scale: how closely to follow the image; guidance is off at 1 and below.
            num_images_per_prompt: the number of variations of each image.

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

    def check_prompts(self) -> int:
        check_image(self.call.image)
        seen_pixels(self, self.call.image)
        return count_of(self.call.image)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, device = self.call, self._execution_device
        embeds = self._encode_image(
            call.image, device, call.num_images_per_prompt, self.do_classifier_free_guidance
        )
        return {"image_embeddings": embeds}

    def _encode_image(
        self,
        image: ImageInput,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> Tensor:
        """Return the embeddings of images (B, 1, D), each repeated; under guidance after zeros."""
        pixels = seen_pixels(self, image)
        both = self.encode_image(pixels, device, num_images_per_prompt)
        embeds, absent = (one[:, None] for one in both)
        return join_halves(embeds, absent) if do_classifier_free_guidance else embeds

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        dtype: torch.dtype = tensors["image_embeddings"].dtype
        return dtype

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {"encoder_hidden_states": tensors["image_embeddings"]}
