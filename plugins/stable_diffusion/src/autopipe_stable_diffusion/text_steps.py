"""The steps of calls with a prompt that CLIP's text encoder encodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.adapter_scale import adapters_scaled
from autopipe_components.latent import LatentPipeline
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.prompt import (
    check_clip_skip,
    check_halves,
    check_texts,
    embed_prompts,
    join_halves,
)

from .prompt import encode_text

_Result = TypeVar("_Result")


class TextSteps(LatentPipeline[_Result]):
    """The steps of pipelines with the text encoder and tokenizer of Stable Diffusion."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
    )

    encodes_tokens = True
    negative_halves: ClassVar[Mapping[str, str]] = {"negative_prompt_embeds": "prompt_embeds"}

    text_states: ClassVar[str] = "last_hidden_state"
    """The field of the text encoder's output that the U-Net takes."""

    text_encoder: Any
    tokenizer: Any

    _guidance_scale: float = 7.5

    # Steps of a call, in order

    def check_prompts(self) -> int:
        return check_texts(self.call, self.unet.config)

    def check_conditioning(self) -> None:
        encoder, guided = self.text_encoder, self.do_classifier_free_guidance
        if check_halves(self.call, encoder, self.tokenizer, guided=guided):
            check_clip_skip(self.clip_skip, encoder.config.num_hidden_layers)

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
        """Return `encode_prompt` as one tensor; with guidance, in the parts of a step."""
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
        if negative is None:
            return embeds
        parts: Tensor = self.for_parts(join_halves(embeds, negative), len(embeds))
        return parts

    def encode_texts(self, texts: Sequence[str], **options: Any) -> Any:
        """Return the embeddings (B, N, D) of texts; `options` are those of `encode_text`."""
        # The lock includes the encoder: older transformers collect hidden states in the module.
        with self.tokenizing(self.tokenizer):
            return encode_text(
                self.tokenizer, self.text_encoder, texts, field=self.text_states, **options
            )

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
