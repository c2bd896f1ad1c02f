"""The steps that the decoders of the family share: components and text encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_negative_prompt,
    check_text,
)
from autopipe_components.steps.prompt import distinct_texts, tokenize
from autopipe_kandinsky.decoder import EmbeddingDecoder, Start
from autopipe_kandinsky.texts import texts_to_encode

_TOKENS = 77
"""The length of texts, in tokens."""


class KandinskyDecoder(EmbeddingDecoder):
    """The components of a Kandinsky 2.1 decoder.

    Args:
        text_encoder: a `MultilingualCLIP`.
        tokenizer: a `transformers.XLMRobertaTokenizer`.
        unet: a `UNet2DConditionModel` with `addition_embed_type` "text_image".
        scheduler: a `DDIMScheduler`, a `DDPMScheduler`, or another scheduler.
        movq: a `VQModel`.
    """

    model_cpu_offload_seq = "text_encoder->unet->movq"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *EmbeddingDecoder._callback_tensor_inputs,
        "prompt_embeds",
        "text_encoder_hidden_states",
    )

    required_components = ("text_encoder", "tokenizer", *EmbeddingDecoder.required_components)

    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
        movq: Network,
    ) -> None:
        self.register_modules(
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            movq=movq,
        )

    @property
    def image_embedding_dim(self) -> int:
        return int(self.unet.config.cross_attention_dim)

    # Steps of a call, in order

    def begin_call(self) -> int:
        """Begin the call like every decoder, and check that there is one text per embedding."""
        call = self.call
        if call.prompt is None:
            raise ArgumentError("prompt is missing; give a string or a list of strings")
        check_text("prompt", call.prompt)
        check_text("negative_prompt", call.negative_prompt)
        rows, prompts = super().begin_call(), batch_size_of(call.prompt, None)
        if self.do_classifier_free_guidance:
            check_negative_prompt(call.negative_prompt, call.prompt, prompts)
        if prompts != rows:
            raise ArgumentError(f"got {prompts} prompts for {rows} image_embeds; give one for each")
        return rows

    def encode_conditioning(self, start: Start) -> Tensors:
        """Return texts and embeddings as tensors; with guidance, the negative half comes first."""
        call = self.call
        guided = self.do_classifier_free_guidance
        texts = texts_to_encode(call.prompt, guided, call.negative_prompt)
        distinct, positions = distinct_texts(texts)
        states, pooled = self.encoder("text_encoder", self._encode_text)(distinct)

        def spread(rows: Tensor) -> Tensor:
            return rows[positions].repeat_interleave(call.num_images_per_prompt, dim=0)

        return {
            **super().encode_conditioning(start),
            "prompt_embeds": spread(pooled),
            "text_encoder_hidden_states": spread(states),
        }

    def _encode_prompt(
        self,
        prompt: Prompt,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and their mask (B, K); negative half first.

        Raises:
            ArgumentError: if the texts don't fit together.
            ArgumentTypeError: if a text has the wrong type.
        """
        texts = texts_to_encode(prompt, do_classifier_free_guidance, negative_prompt)
        states, pooled = self.encoder("text_encoder", self._encode_text)(texts)
        with self.tokenizing(self.tokenizer):
            _, mask = tokenize(self.tokenizer, texts, _TOKENS)
        pooled, states, mask = (
            one.to(device).repeat_interleave(num_images_per_prompt, dim=0)
            for one in (pooled, states, mask)
        )
        return pooled, states, mask

    def _encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return hidden states (B, K, D) and pooled texts (B, P)."""
        with self.tokenizing(self.tokenizer):
            ids, mask = tokenize(self.tokenizer, texts, _TOKENS)
        device = self._execution_device
        pooled, states = self.text_encoder(input_ids=ids.to(device), attention_mask=mask.to(device))
        return states, pooled

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "encoder_hidden_states": tensors["text_encoder_hidden_states"],
            "added_cond_kwargs": {
                "text_embeds": tensors["prompt_embeds"],
                "image_embeds": tensors["image_embeds"],
            },
        }


class KandinskyImageDecoder(KandinskyDecoder):
    """A decoder that starts from an image: the same components, in another order."""

    def __init__(
        self,
        text_encoder: Network,
        movq: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
    ) -> None:
        super().__init__(text_encoder, tokenizer, unet, scheduler, movq)


def noised(clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return `clean` at the noise level of `timesteps` in the training schedule.

    It differs from that of the scheduler: betas rise linearly from 0.0001 to 0.02 in 1000 steps.

    Args:
        timesteps: one for all samples, or one for each.
    """
    bars = torch.cumprod(1 - torch.linspace(0.0001, 0.02, 1000, dtype=torch.float32), dim=0)
    bar = bars.to(device=clean.device, dtype=clean.dtype)[timesteps.to(clean.device)]
    bar = bar.reshape(-1, *(1,) * (clean.ndim - 1))
    return bar**0.5 * clean + (1 - bar) ** 0.5 * noise
