"""Multilingual CLIP: an XLM-R whose mean state approximates the CLIP embedding of the text."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaModel

from autopipe.errors import ConfigError


class MCLIPConfig(XLMRobertaConfig):  # type: ignore[misc]  # not typed
    """The config of XLM-R with two additional widths.

    Args:
        transformerDimSize: the width of hidden states; saved as `transformerDimensions`.
        imageDimSize: the width of the CLIP embedding; saved as `numDims`.
    """

    model_type = "M-CLIP"

    def __init__(
        self, transformerDimSize: int = 1024, imageDimSize: int = 768, **kwargs: Any
    ) -> None:
        self.transformerDimensions = transformerDimSize
        self.numDims = imageDimSize
        super().__init__(**kwargs)


class MultilingualCLIP(PreTrainedModel):  # type: ignore[misc]  # not typed
    """Encodes texts of many languages ("Cross-lingual and Multilingual CLIP", LREC 2022)."""

    config_class = MCLIPConfig

    def __init__(self, config: MCLIPConfig) -> None:
        super().__init__(config)
        if config.pad_token_id is None:
            raise ConfigError(
                "MultilingualCLIP needs 'pad_token_id' in its config to recognise padding; set it "
                "(1 in every published checkpoint)"
            )
        self.transformer = XLMRobertaModel(config)
        self.LinearTransformation = nn.Linear(config.transformerDimensions, config.numDims)
        self.post_init()

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
