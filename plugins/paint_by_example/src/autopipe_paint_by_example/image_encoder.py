"""The image encoder: CLIP's, whose pooled state a perceptron with attention maps on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autopipe_components.encoders.clip_vision import CLIPVisionEncoder, CLIPVisionModel
from autopipe_components.networks.prior_transformer import PriorTransformerBlock


class PaintByExampleMapper(nn.Module):
    """Layers on the pooled state, one for every five of the image encoder."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            PriorTransformerBlock(config.hidden_size, heads=1, dropout=0.0)
            for _ in range((config.num_hidden_layers + 1) // 5)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, 1, D)."""
        for block in self.blocks:
            states = block(states, None)
        return states


class PaintByExampleImageEncoder(CLIPVisionEncoder):
    """Encodes an example as one token for a U-Net (Paint by Example, arXiv 2211.13227).

    Its config is that of CLIP's image encoder; `projection_dim` is the width of the token.

    Attributes:
        uncond_vector: the token (1, 1, `projection_dim`) that stands for no example.
    """

    # Diffusers saves the halves of a whole CLIP beside these entries, with values of no use.
    config_section = ""
    wrappers = frozenset({"vision_model"})
    embedding_paths = ("model.embeddings.patch_embedding",)

    @classmethod
    def own_entries(cls, config: Any) -> dict[str, Any]:
        entries = super().own_entries(config)
        halves = ("text_config", "vision_config", "logit_scale_init_value")
        return {name: value for name, value in entries.items() if name not in halves}

    def make_layers(self) -> None:
        width, projected = self.config.hidden_size, self.config.projection_dim
        self.model = CLIPVisionModel(self.config)
        self.mapper = PaintByExampleMapper(self.config)
        self.final_layer_norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, projected)
        self.uncond_vector = nn.Parameter(torch.randn(1, 1, projected))

    def forward(
        self, pixel_values: Tensor, return_uncond_vector: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the tokens (B, 1, `projection_dim`), and `uncond_vector` if it is asked for.

        Args:
            pixel_values: the images (B, channels, H, W), normalised.

        Raises:
            ArgumentError: if the images have another size than the encoder.
        """
        pooled = self.model(pixel_values).pooler_output
        tokens: Tensor = self.proj_out(self.final_layer_norm(self.mapper(pooled[:, None])))
        return (tokens, self.uncond_vector) if return_uncond_vector else tokens
