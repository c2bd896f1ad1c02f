"""Multilingual CLIP: an XLM-R whose mean state approximates the CLIP embedding of the text."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autopipe_components.encoders.base import encoder_config
from autopipe_components.encoders.xlm_roberta import XLMRobertaBase, XLMRobertaModel


class MultilingualCLIP(XLMRobertaBase):
    """Encodes texts of many languages ("Cross-lingual and Multilingual CLIP", LREC 2022).

    Its config is that of XLM-R with two widths more.

    Args:
        transformerDimSize, transformerDimensions: the width of hidden states; the second name,
            under which it is saved, wins.
        imageDimSize, numDims: the width of the CLIP embedding; likewise.
        **entries: the entries of XLM-R.
    """

    model_type = "M-CLIP"
    unsaved = frozenset({"transformerDimSize", "imageDimSize"})
    wrappers = frozenset({"text_model", "vision_model"})
    embedding_paths = ("transformer.embeddings.word_embeddings",)

    @encoder_config
    def __init__(
        self,
        transformerDimSize: int = 1024,
        imageDimSize: int = 768,
        transformerDimensions: int | None = None,
        numDims: int | None = None,
        **entries: Any,
    ) -> None:
        super().__init__(**entries)

    def make_layers(self) -> None:
        config = self.config
        self.register_to_config(
            transformerDimensions=config.transformerDimensions or config.transformerDimSize,
            numDims=config.numDims or config.imageDimSize,
        )
        self.transformer = XLMRobertaModel(self.config)
        self.LinearTransformation = nn.Linear(
            self.config.transformerDimensions, self.config.numDims
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding (B, numDims) of each text, and its hidden states (B, K, D).

        Args:
            input_ids: tokens (B, K).
            attention_mask: (B, K), 0 for padding, which the mean ignores.
        """
        states = self.transformer(input_ids=input_ids, attention_mask=attention_mask)[0]
        summed = (states * attention_mask.unsqueeze(2)).sum(dim=1)
        mean = summed / attention_mask.sum(dim=1)[:, None]
        return self.LinearTransformation(mean), states
