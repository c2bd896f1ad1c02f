"""Variations of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.checks import Prompt, check_image
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.seen import seen_pixels

from .steps import Result, UnCLIPSteps, check_embeddings, check_one_of


class UnCLIPImageVariationPipeline(UnCLIPSteps):
    """Draws variations of images with unCLIP: from the CLIP embedding of an image, without a prior.

    Args:
        decoder: a `UNet2DConditionModel`.
        text_encoder: a `transformers.CLIPTextModelWithProjection`.
        tokenizer: a `transformers.CLIPTokenizer`.
        text_proj: a `UnCLIPTextProjModel`.
        feature_extractor: a `transformers.CLIPImageProcessor`.
        image_encoder: a `transformers.CLIPVisionModelWithProjection`.
        super_res_first, super_res_last: `UNet2DModel` networks, the second for the last step.
        decoder_scheduler, super_res_scheduler: a `UnCLIPScheduler` each.
    """

    model_cpu_offload_seq = (
        "text_encoder->image_encoder->text_proj->decoder->super_res_first->super_res_last"
    )

    feature_extractor: Any
    image_encoder: Any

    def __init__(
        self,
        decoder: Network,
        text_encoder: Network,
        tokenizer: Processor,
        text_proj: Network,
        feature_extractor: Processor,
        image_encoder: Network,
        super_res_first: Network,
        super_res_last: Network,
        decoder_scheduler: Scheduler,
        super_res_scheduler: Scheduler,
    ) -> None:
        self.register_modules(
            decoder=decoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_proj=text_proj,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
            super_res_first=super_res_first,
            super_res_last=super_res_last,
            decoder_scheduler=decoder_scheduler,
            super_res_scheduler=super_res_scheduler,
        )

    def _encode_prompt(
        self,
        prompt: Prompt,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and mask (B, K); negative half first."""
        encoded = self.in_halves(prompt, num_images_per_prompt, do_classifier_free_guidance)
        pooled, states, mask = (one.to(device) for one in encoded)
        return pooled, states, mask

    @pipeline_call
    def __call__(
        self,
        image: ImageInput | None = None,
        num_images_per_prompt: int = 1,
        decoder_num_inference_steps: int = 25,
        super_res_num_inference_steps: int = 7,
        generator: Generators = None,
        decoder_latents: Tensor | None = None,
        super_res_latents: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        decoder_guidance_scale: float = 8.0,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Draw images that resemble `image`.

        All other parameters are those of `UnCLIPPipeline`.

        Args:
            image: PIL images, arrays (H, W, 3), pixels (N, 3, H, W) from `feature_extractor`, or a
                list; None if `image_embeddings` are given.
            num_images_per_prompt: the number of variations of each image.
            image_embeddings: the CLIP embeddings of images, (N, D), in place of `image`.
            decoder_guidance_scale: how closely to follow the image; guidance is off at 1 and below.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check everything that can be checked
        seen = self._seen()
        plan = self.plan(len(seen))

        # 2. Encode the empty text and the images
        texts = self.texts_of([""] * len(seen))
        embeddings = seen.to(device=self._execution_device, dtype=self.image_encoder.dtype)
        if seen.ndim == 4:
            embeddings = self.image_encoder(embeddings).image_embeds
        embeddings = embeddings.repeat_interleave(self.call.num_images_per_prompt, dim=0)

        # 3. Draw the images
        return self.draw(embeddings, texts, plan)

    def _seen(self) -> Tensor:
        """Return images for the image encoder (N, 3, H, W), or the given embeddings (N, D)."""
        image, given = self.call.image, self.call.image_embeddings
        check_one_of("image", image, "image_embeddings", given)
        if given is not None:
            check_embeddings("image_embeddings", given, self.text_proj.config.clip_embeddings_dim)
            embeddings: Tensor = given
            return embeddings
        check_image(image)
        return seen_pixels(self, image)
