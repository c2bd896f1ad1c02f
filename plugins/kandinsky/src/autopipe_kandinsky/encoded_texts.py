"""Encodes texts as a prior takes them: pooled, as hidden states, and their mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe_components.steps.prompt import distinct_texts, text_length, tokenize


class EncodesTexts(DiffusionPipeline):
    """A pipeline with a `CLIPTextModelWithProjection` as `text_encoder`."""

    text_encoder: Any
    tokenizer: Any

    def encode_texts(self, texts: Sequence[str], count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and mask (B, K), repeated `count` times."""
        distinct, positions = distinct_texts(texts)
        states, pooled, mask = self.encoder("text_encoder", self._encode_text)(distinct)
        pooled, states, mask = (
            one[positions].repeat_interleave(count, dim=0) for one in (pooled, states, mask)
        )
        return pooled, states, mask

    def _encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return hidden states (B, K, D), pooled texts (B, P), and the attention mask (B, K)."""
        device = self._execution_device
        with self.tokenizing(self.tokenizer):
            length = text_length(self.tokenizer, self.text_encoder)
            ids, mask = tokenize(self.tokenizer, texts, length)
        encoded = self.text_encoder(ids.to(device))
        return encoded.last_hidden_state, encoded.text_embeds, mask.bool().to(device)
