"""Encodes prompts with up to three text encoders, of which T5 may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.adapter_scale import adapters_scaled
from autopipe_components.latent import FlowPipeline
from autopipe_components.steps.checks import Prompt, check_at_least_one
from autopipe_components.steps.pooled import (
    SIGNS,
    PooledPrompts,
    PromptArguments,
    check_pooled_prompts,
    encode_both,
    encode_states,
)
from autopipe_components.steps.prompt import check_clip_skip, text_length

from .output import Result

_NEGATIVE = "negative_prompt negative_prompt_2 negative_prompt_3"
_EMBEDS = "prompt_embeds negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds"
GIVEN = f"{_NEGATIVE} {_EMBEDS} callback_on_step_end_tensor_inputs max_sequence_length"
"""The optional parameters of `check_inputs`."""

MOST_TOKENS = 512
"""The largest `max_sequence_length`."""

_CLIPS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""The CLIP encoders and their tokenizers."""

_ENCODERS = 3


class EncodesPrompts(FlowPipeline[Result]):
    """The text encoders of Stable Diffusion 3, and the steps that use them."""

    transformer: Any
    text_encoder: Any
    text_encoder_2: Any
    text_encoder_3: Any
    tokenizer: Any
    tokenizer_2: Any
    tokenizer_3: Any

    @property
    def tokenizer_max_length(self) -> int:
        """The number of tokens that both CLIP encoders read."""
        pairs = [(self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2)]
        return min(text_length(*pair) for pair in pairs)

    def check_prompts(self) -> int:
        config = self.transformer.config
        widths = config.joint_attention_dim, config.pooled_projection_dim
        return check_pooled_prompts(vars(PromptArguments.of(self.call)), _ENCODERS, *widths)

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        check_pooled_prompts(given, _ENCODERS)
        if given["max_sequence_length"] is not None:
            self._check_length(given["max_sequence_length"])

    def check_conditioning(self) -> None:
        call = self.call
        self._check_length(call.max_sequence_length)
        given = PromptArguments.of(call)
        if given.prompt is not None or (
            self.do_classifier_free_guidance and given.negative_prompt_embeds is None
        ):
            self._check_encoders(self.clip_skip)

    def _check_length(self, length: int) -> None:
        """Check `max_sequence_length`.

        Raises:
            ArgumentError, ArgumentTypeError: if it is not a whole number from 1 to 512.
        """
        check_at_least_one("max_sequence_length", length)
        if length > MOST_TOKENS:
            raise ArgumentError(f"max_sequence_length is {length}; give {MOST_TOKENS} at most")

    def _check_encoders(self, clip_skip: int | None) -> None:
        """Check that texts can be encoded, and that the transformer takes the result.

        Raises:
            ArgumentError: if a CLIP encoder is missing, T5 has no tokenizer, a width doesn't fit,
                or `clip_skip` is too large.
            ArgumentTypeError: if `clip_skip` is not a whole number.
        """
        needed = (*_CLIPS, *_CLIPS.values())
        absent = [name for name in needed if getattr(self, name) is None]
        if self.text_encoder_3 is not None and self.tokenizer_3 is None:
            absent.append("tokenizer_3")
        if absent:
            raise ArgumentError(
                f"this pipeline has no {' and no '.join(absent)}, so it can't encode prompts; give "
                f"prompt_embeds and pooled_prompt_embeds and, with guidance, the negative ones"
            )
        config = self.transformer.config
        clips = [getattr(self, name).config for name in _CLIPS]
        wide = sum(one.hidden_size for one in clips)
        pooled = sum(one.projection_dim for one in clips)
        t5 = self.text_encoder_3
        made = config.joint_attention_dim if t5 is None else t5.config.d_model
        if not (wide <= made == config.joint_attention_dim):
            raise ArgumentError(
                f"the text encoders make embeddings of the widths {wide} (CLIP) and {made} (T5), "
                f"but the transformer takes {config.joint_attention_dim}; load the text encoders "
                f"of this checkpoint"
            )
        if pooled != config.pooled_projection_dim:
            raise ArgumentError(
                f"the CLIP encoders make pooled embeddings of the width {pooled}, but the "
                f"transformer takes {config.pooled_projection_dim}; load the text encoders of this "
                f"checkpoint"
            )
        for one in clips:
            check_clip_skip(clip_skip, one.num_hidden_layers - 1)

    def encode_prompt(
        self,
        prompt: Prompt | None,
        prompt_2: Prompt | None,
        prompt_3: Prompt | None,
        device: torch.device | str | None = None,
        num_images_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        negative_prompt_3: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        clip_skip: int | None = None,
        max_sequence_length: int = 256,
        lora_scale: float | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return embeddings (B, K, D) of prompt and negative prompt, then pooled ones (B, P).

        Each is repeated for each image. Without guidance, negative ones are None unless given.

        Args:
            prompt, prompt_2, prompt_3, negative_prompt, negative_prompt_2, negative_prompt_3,
                prompt_embeds, negative_prompt_embeds, pooled_prompt_embeds,
                negative_pooled_prompt_embeds: as in a call.
            device: the device of the embeddings; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            do_classifier_free_guidance: whether to encode negative prompts.
            clip_skip: the number of additional layers of CLIP to skip for the prompt.
            max_sequence_length: the number of tokens of T5, 1 to 512.
            lora_scale: by what the strengths of LoRAs are multiplied, outside a call.

        Raises:
            ArgumentError: if the prompts don't fit together, or can't be encoded.
            ArgumentTypeError: if an argument has the wrong type.
        """
        given = locals()
        check_pooled_prompts(given, _ENCODERS)
        self._check_length(max_sequence_length)
        device = self._execution_device if device is None else torch.device(device)
        found: list[Tensor | None] = []
        for sign, skip in zip(SIGNS, (clip_skip, None)):
            half = PooledPrompts.of(given, sign, _ENCODERS)
            embeds, pooled = half.embeds, half.pooled
            if embeds is None and (not sign or do_classifier_free_guidance):
                self._check_encoders(clip_skip)
                with adapters_scaled(lora_scale):
                    embeds, pooled = self._embed(half.spread(), skip, max_sequence_length, device)
            found += [embeds, pooled]
        embeds, pooled, negative, negative_pooled = (
            None if one is None else one.to(device).repeat_interleave(num_images_per_prompt, dim=0)
            for one in found
        )
        assert embeds is not None
        assert pooled is not None
        return embeds, negative, pooled, negative_pooled

    def _embed(
        self, texts: list[list[str]], clip_skip: int | None, length: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings (B, K, D) and pooled embeddings (B, P) of texts.

        The states of both CLIP encoders are put side by side and filled up with zeros to the width
        of T5, whose tokens follow theirs (arXiv:2403.03206, section 4 and figure 2).

        Args:
            texts: those for each of the three encoders.
        """
        *firsts, last = texts
        pairs = []
        for (name, tokenizer), own in zip(_CLIPS.items(), firsts):
            both = partial(
                encode_both,
                getattr(self, tokenizer),
                getattr(self, name),
                device=device,
                length=self.tokenizer_max_length,
            )
            pairs.append(self.encoder(name, both)(own, clip_skip=clip_skip))
        states, pooled = (torch.cat(one, dim=-1) for one in zip(*pairs))
        if self.text_encoder_3 is None:
            width = self.transformer.config.joint_attention_dim
            long = states.new_zeros(len(states), length, width)
        else:
            t5 = partial(
                encode_states, self.tokenizer_3, self.text_encoder_3, device=device, length=length
            )
            long = self.encoder("text_encoder_3", t5)(last).to(states.device)
        filled = F.pad(states, (0, long.shape[-1] - states.shape[-1]))
        return torch.cat([filled, long], dim=1), pooled
