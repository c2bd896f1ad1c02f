"""Prepares the embeddings of text and image for the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin
from autopipe.values import Range
from autopipe_components.networks.limits import LIMITS, WIDTH


class UnCLIPTextProjModel(ModelMixin):
    """Projects the CLIP embeddings of text and image to the inputs of the decoder.

    The embedding of the image becomes a few tokens before those of the text, and, with that of the
    text, is added to the embedded timestep (Ramesh et al. 2022, arXiv:2204.06125, section 2.1).
    Where guidance leads away from, a learned embedding is in place of the image's.
    """

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "clip_extra_context_tokens": Range(1, 1 << 12),
        "clip_embeddings_dim": WIDTH,
    }

    @register_to_config
    def __init__(
        self,
        *,
        clip_extra_context_tokens: int = 4,
        clip_embeddings_dim: int = 768,
        time_embed_dim: int,
        cross_attention_dim: int,
    ) -> None:
        super().__init__()
        width, context = clip_embeddings_dim, cross_attention_dim
        self.learned_classifier_free_guidance_embeddings = nn.Parameter(torch.zeros(width))
        self.embedding_proj = nn.Linear(width, time_embed_dim)
        self.clip_image_embeddings_project_to_time_embeddings = nn.Linear(width, time_embed_dim)
        self.clip_extra_context_tokens = clip_extra_context_tokens
        self.clip_extra_context_tokens_proj = nn.Linear(width, clip_extra_context_tokens * context)
        self.encoder_hidden_states_proj = nn.Linear(width, context)
        self.text_encoder_hidden_states_norm = nn.LayerNorm(context)

    def forward(
        self,
        *,
        image_embeddings: Tensor,
        prompt_embeds: Tensor,
        text_encoder_hidden_states: Tensor,
        do_classifier_free_guidance: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens (N, T + K, cross_attention_dim), and what is added to the timestep.

        Args:
            image_embeddings: (B, clip_embeddings_dim).
            prompt_embeds: (N, clip_embeddings_dim), pooled texts; N is B, or 2B with guidance,
                the negative half first.
            text_encoder_hidden_states: (N, K, clip_embeddings_dim).
            do_classifier_free_guidance: whether to put the learned embedding before the images'.
        """
        images = image_embeddings
        if do_classifier_free_guidance:
            learned = self.learned_classifier_free_guidance_embeddings
            images = torch.cat([learned.expand(len(images), -1), images])
        time: Tensor = self.clip_image_embeddings_project_to_time_embeddings(images)
        time = time + self.embedding_proj(prompt_embeds)
        count = self.clip_extra_context_tokens
        # The weights have the tokens as the faster axis.
        tokens = self.clip_extra_context_tokens_proj(images).unflatten(1, (-1, count)).mT
        texts = self.encoder_hidden_states_proj(text_encoder_hidden_states)
        return torch.cat([tokens, self.text_encoder_hidden_states_norm(texts)], dim=1), time
