"""The steps that all tasks of the family share: components, prompt, prediction and output.

The tasks of `autopipe_components.latent` call these steps; nothing here depends on a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.adapter_scale import adapters_scaled
from autopipe_components.latent import LatentPipeline
from autopipe_components.safety import check_images, check_safety, needs_extractor
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_components,
    check_negative_prompt,
    check_prompt,
    check_width,
)
from autopipe_components.steps.prompt import embed_prompts, join_halves

from .corrections import correct_sample_size, correct_scheduler
from .output import Result, StableDiffusionPipelineOutput
from .prompt import check_encoding, encode_text


class StableDiffusionSteps(LatentPipeline[Result]):
    """The components of Stable Diffusion 1.x and 2.x, and the steps that all tasks share.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel`.
        scheduler: any scheduler. Configs of old checkpoints are corrected in a copy; see
            `scheduler_corrections`.
        safety_checker: a `StableDiffusionSafetyChecker`, or a function `(images, clip_input)` that
            returns images and flags; with None, images are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, required by the safety checker.
        image_encoder: for add-ons that take image prompts, with the feature extractor.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->unet->vae"
    _optional_components: ClassVar[tuple[str, ...]] = (
        "safety_checker",
        "feature_extractor",
        "image_encoder",
    )
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("safety_checker",)
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
    )

    encodes_tokens = True
    negative_halves: ClassVar[Mapping[str, str]] = {"negative_prompt_embeds": "prompt_embeds"}

    output_class = StableDiffusionPipelineOutput

    scheduler_corrections: ClassVar[Mapping[str, Any]] = {"steps_offset": 1, "clip_sample": False}
    """Config entries that are set in a copy of the scheduler passed to the constructor."""

    text_encoder: Any
    tokenizer: Any
    safety_checker: Any
    feature_extractor: Any
    image_encoder: Any

    _guidance_scale: float = 7.5

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        image_encoder: Network = None,
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
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=correct_scheduler(scheduler, self.scheduler_corrections),
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
        )
        self.register_to_config(requires_safety_checker=requires_safety_checker)

    # Steps of a call, in order

    def check_prompts(self) -> int:
        call = self.call
        check_prompt(
            call.prompt, call.prompt_embeds, call.negative_prompt, call.negative_prompt_embeds
        )
        width = self.unet.config.encoder_hid_dim or self.unet.config.cross_attention_dim
        check_width("prompt_embeds", call.prompt_embeds, width)
        check_width("negative_prompt_embeds", call.negative_prompt_embeds, width)
        return batch_size_of(call.prompt, call.prompt_embeds)

    def check_conditioning(self) -> None:
        call, guided = self.call, self.do_classifier_free_guidance
        if guided:
            prompts = batch_size_of(call.prompt, call.prompt_embeds)
            check_negative_prompt(call.negative_prompt, call.prompt, prompts)
        if needs_extractor(self.safety_checker) and call.output_type != "latent":
            check_components(self, ("feature_extractor",))
        if call.prompt is not None or (guided and call.negative_prompt_embeds is None):
            check_encoding(self.text_encoder, self.tokenizer, self.clip_skip)

    def encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        lora_scale: float | None = None,
        clip_skip: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings (B, K, D) of prompt and negative prompt, repeated for each image.

        Args:
            prompt: a string or a list of strings; None if `prompt_embeds` are given.
            device: the device of the embeddings; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            do_classifier_free_guidance: if False, the negative prompt is not encoded.
            negative_prompt: as `prompt`; by default empty strings.
            prompt_embeds, negative_prompt_embeds: used in place of encoding a prompt.
            lora_scale: by what the strengths of LoRAs are multiplied, outside a call.
            clip_skip: the number of last layers to skip for `prompt`; the final norm is applied.

        Raises:
            ArgumentError: if the numbers of prompts and negative prompts differ.
        """
        device = self._execution_device if device is None else device
        encode_texts = self.encoder("text_encoder", self.encode_texts)

        def encode(texts: Sequence[str], length: int | None) -> Tensor:
            # `clip_skip` applies only to prompts, which come without a length.
            skip = clip_skip if length is None else None
            embeds: Tensor = encode_texts(texts, device=device, length=length, clip_skip=skip)
            return embeds

        with adapters_scaled(lora_scale):
            return embed_prompts(
                encode,
                prompt,
                negative_prompt,
                prompt_embeds,
                negative_prompt_embeds,
                guided=do_classifier_free_guidance,
                num_images_per_prompt=num_images_per_prompt,
                device=device,
                dtype=(self.text_encoder if self.text_encoder is not None else self.unet).dtype,
            )

    def _encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        lora_scale: float | None = None,
        clip_skip: int | None = None,
    ) -> Tensor:
        """Return `encode_prompt` as one tensor; with guidance, the negative half comes first."""
        embeds, negative = self.encode_prompt(
            prompt,
            device,
            num_images_per_prompt,
            do_classifier_free_guidance,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            lora_scale,
            clip_skip,
        )
        return embeds if negative is None else join_halves(embeds, negative)

    def encode_texts(self, texts: Sequence[str], **options: Any) -> Any:
        """Return the embeddings (B, N, D) of texts; `options` are those of `encode_text`."""
        # The lock includes the encoder: older transformers collect hidden states in the module.
        with self.tokenizing(self.tokenizer):
            return encode_text(self.tokenizer, self.text_encoder, texts, **options)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, guided = self.call, self.do_classifier_free_guidance
        embeds, negative = self.encode_prompt(
            call.prompt,
            None,
            call.num_images_per_prompt,
            guided,
            call.negative_prompt,
            call.prompt_embeds,
            call.negative_prompt_embeds,
            clip_skip=self.clip_skip,
        )
        if guided:
            assert negative is not None
            embeds = join_halves(embeds, negative)
        return {"prompt_embeds": embeds, "negative_prompt_embeds": negative}

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, list[bool] | None]:
        pixels, flags = self.run_safety_checker(pixels, pixels.device, dtype)
        in_range = [not black for black in flags or [False] * len(pixels)]
        return self.image_processor.postprocess(pixels, self.call.output_type, in_range), flags

    def run_safety_checker(
        self, image: Any, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[Any, list[bool] | None]:
        """Return `image` with unwanted ones set to zero, and flags; None without a safety checker.

        Args:
            image: a tensor (B, 3, H, W) in [-1, 1], or an array (B, H, W, 3) in [0, 1].

        Raises:
            ArgumentTypeError: if the safety checker is a function that doesn't return images and
                flags.
        """
        if self.safety_checker is None:
            return image, None

        def pictures() -> Any:
            if isinstance(image, Tensor):
                return self.image_processor.postprocess(image, "pil")
            return self.numpy_to_pil(image)

        checked, flags = check_images(
            self.safety_checker, self.feature_extractor, image, pictures, device=device, dtype=dtype
        )
        return checked, flags
