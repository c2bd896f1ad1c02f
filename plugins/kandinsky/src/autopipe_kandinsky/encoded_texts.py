"""Encodes texts as a prior takes them: pooled, as hidden states, and their mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe_components.embedding_prior import encode_pooled, text_tensors


class EncodesTexts(DiffusionPipeline):
    """A pipeline with a `CLIPTextModelWithProjection` as `text_encoder`."""

    text_encoder: Any
    tokenizer: Any

    def encode_texts(self, texts: Sequence[str], count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and mask (B, K), repeated `count` times."""
        encode = self.encoder("text_encoder", self._encode_text)
        pooled, states, mask = text_tensors(encode, texts, count).values()
        return pooled, states, mask

    def _encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return hidden states (B, K, D), pooled texts (B, P), and the attention mask (B, K)."""
        with self.tokenizing(self.tokenizer):
            return encode_pooled(self.tokenizer, self.text_encoder, texts, self._execution_device)
