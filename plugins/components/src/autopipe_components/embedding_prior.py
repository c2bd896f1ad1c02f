"""What calls of priors share, which convert texts to the embedding of an image.

"Hierarchical Text-Conditional Image Generation with CLIP Latents" (unCLIP, arXiv:2204.06125). The
tensors of a prior are `latents` (B, D), and of the texts, with the negative half first under
guidance: `prompt_embeds`, pooled; `text_encoder_hidden_states`; and `text_mask`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors

from .guided import Predict
from .steps.guidance import double, guide
from .steps.prompt import distinct_texts, text_length, tokenize

TEXT_TENSORS = ("prompt_embeds", "text_encoder_hidden_states", "text_mask")
"""The names of the tensors of the texts."""


def encode_pooled(
    tokenizer: Any, encoder: Any, texts: Sequence[str], device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden states (B, K, D), pooled texts (B, P) and the mask (B, K) of `texts`.

    Not thread-safe: the caller must hold the tokenizer's lock.
    """
    ids, mask = tokenize(tokenizer, texts, text_length(tokenizer, encoder))
    encoded = encoder(ids.to(device))
    return encoded.last_hidden_state, encoded.text_embeds, mask.bool().to(device)


def text_tensors(
    encode: Callable[[list[str]], tuple[Tensor, Tensor, Tensor]], texts: Sequence[str], count: int
) -> Tensors:
    """Return the `TEXT_TENSORS` of texts, each repeated `count` times.

    Args:
        encode: encodes distinct texts, as `encode_pooled` does.
    """
    distinct, positions = distinct_texts(texts)
    states, pooled, mask = encode(distinct)
    each = (one[positions].repeat_interleave(count, dim=0) for one in (pooled, states, mask))
    return dict(zip(TEXT_TENSORS, each))


def repeated_texts(
    encoded: Sequence[Tensor],
    count: int,
    device: torch.device | str | None,
    before: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a caller has encoded, pooled texts, states and mask, each `count` times.

    Args:
        before: the negative half, already repeated, in the same order; empty without guidance.
    """
    own = [one.to(device).repeat_interleave(count, dim=0) for one in encoded]
    if before:
        own = [torch.cat([away.to(one), one]) for away, one in zip(before, own)]
    pooled, states, mask = own
    return pooled, states, mask


def prior_predictor(
    prior: Any, scheduler: Any, tensors: Tensors, scale: Callable[[], float | None]
) -> Predict:
    """Return the function that predicts the embedding in each step, including guidance.

    Args:
        prior: a `PriorTransformer`.
        tensors: the tensors of the call, read again in each step.
        scale: returns the guidance scale; without guidance None.
    """

    def predict(step: int, timestep: Tensor) -> Tensor:
        strength = scale()
        sample = scheduler.scale_model_input(tensors["latents"], timestep)
        prediction: Tensor = prior(
            sample if strength is None else double(sample),
            timestep=timestep,
            proj_embedding=tensors["prompt_embeds"],
            encoder_hidden_states=tensors["text_encoder_hidden_states"],
            attention_mask=tensors["text_mask"],
        ).predicted_image_embedding
        return prediction if strength is None else guide(prediction, strength)

    return predict
