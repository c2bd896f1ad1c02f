"""Variation: draws an image again, from its embedding and perhaps a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput, count_of
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_components,
    check_image,
    check_tensor,
)
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_components.steps.seen import seen_pixels

from .steps import Result, StableUnCLIPSteps


class StableUnCLIPImg2ImgPipeline(StableUnCLIPSteps, LatentText2Image[Result]):
    """Variations of an image with Stable unCLIP, which a prompt may guide.

    Args:
        feature_extractor: a `transformers.CLIPImageProcessor`.
        image_encoder: a `transformers.CLIPVisionModelWithProjection`.
        image_normalizer: a `StableUnCLIPImageNormalizer`.
        image_noising_scheduler: any scheduler that adds noise, for the image embedding.
        tokenizer: a `transformers.CLIPTokenizer`.
        text_encoder: a `transformers.CLIPTextModel`.
        unet: a `UNet2DConditionModel` that takes image embeddings as class labels.
        scheduler: any scheduler.
        vae: an `AutoencoderKL`.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->unet->vae"

    check_inputs = checks_of(
        "prompt image height width callback_steps noise_level", f"{TEXTS} image_embeds"
    )

    def __init__(
        self,
        feature_extractor: Processor,
        image_encoder: Network,
        image_normalizer: Network,
        image_noising_scheduler: Scheduler,
        tokenizer: Processor,
        text_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        vae: Network,
    ) -> None:
        self.register_modules(
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
            image_normalizer=image_normalizer,
            image_noising_scheduler=image_noising_scheduler,
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            scheduler=scheduler,
            vae=vae,
        )

    @pipeline_call
    def __call__(
        self,
        image: ImageInput | None = None,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 10,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        noise_level: int = 0,
        image_embeds: Tensor | None = None,
        clip_skip: int | None = None,
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
                extractor, a tensor (N, 3, H, W). One for all prompts, or one for each.
            prompt: what else to draw; by default the empty text.
            latents: the initial noise (B, C, h, w), of the scheduler's `init_noise_sigma`.
            noise_level: how much noise to add to the image embedding, a training timestep of
                `image_noising_scheduler`; more gives freer images.
            image_embeds: the embedding (N, D) of the image, in place of the image.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def check_given_arguments(self, given: Mapping[str, Any]) -> None:
        super().check_given_arguments(given)
        self._check_noise_level(given["noise_level"])
        self._check_image(given["image"], given["image_embeds"])

    def _check_image(self, image: Any, embeds: Any) -> int:
        """Check an image or its embedding, and return the number of images."""
        if image is not None and embeds is not None:
            raise ArgumentError("got both image and image_embeds; give one of them")
        if embeds is None:
            if image is None:
                raise ArgumentError("got neither image nor image_embeds; give one of them")
            check_image(image)
            self.image_pixels(image)
            return count_of(image)
        check_tensor("image_embeds", embeds)
        if embeds.ndim != 2 or embeds.shape[1] != self.image_embedding_dim or not len(embeds):
            raise ArgumentError(
                f"image_embeds have the shape {tuple(embeds.shape)}; this checkpoint needs (batch, "
                f"{self.image_embedding_dim})"
            )
        return len(embeds)

    def begin_call(self) -> int:
        call = self.call
        check_components(self, self.required_components)
        images = self._check_image(call.image, call.image_embeds)
        if call.prompt is None and call.prompt_embeds is None:
            self.call = call.replace(prompt="" if images == 1 else [""] * images)
        batch_size = super().begin_call()
        prompts = batch_size_of(self.call.prompt, self.call.prompt_embeds)
        if images not in (1, prompts):
            raise ArgumentError(
                f"got {images} images for {prompts} prompts; give one for all, or one for each"
            )
        return batch_size

    def image_pixels(self, image: ImageInput) -> Tensor:
        """Return images as the input (N, 3, H, W) of the image encoder.

        Raises:
            ArgumentError, ArgumentTypeError: if they are not valid, or a component is absent.
        """
        check_components(self, ("image_encoder",))
        self._check_source("image encoder", self.image_encoder.config.projection_dim)
        return seen_pixels(self, image)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        tensors = super().encode_conditioning(height, width)
        embeds, device = self.call.image_embeds, self._execution_device
        if embeds is None:
            embeds, _ = self.encode_image(self.image_pixels(self.call.image), device, 1)
        embeds = in_dtype_of(self.unet, embeds.to(device))
        rows = len(tensors["prompt_embeds"]) // (2 if self.do_classifier_free_guidance else 1)
        return self.see_image(tensors, embeds, rows)

    def prepare_latents(
        self,
        batch_size: int,
        num_channels_latents: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Return initial latents as in `StableDiffusionPipeline`; given ones are not scaled."""
        if latents is not None:
            return latents.to(device=device, dtype=dtype)
        return super().prepare_latents(
            batch_size, num_channels_latents, height, width, dtype, device, generator
        )
