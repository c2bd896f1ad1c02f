"""The safety checker of Stable Diffusion, which makes images near unwanted concepts black."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from autopipe_components.encoders.clip import CLIPHalves
from autopipe_components.encoders.clip_vision import CLIPVisionModel
from autopipe_components.safety import blackened

_SPECIAL_CARE = 0.01
"""The amount by which thresholds are lowered for an image near a special-care concept."""


class StableDiffusionSafetyChecker(CLIPHalves):
    """Compares the CLIP embedding of an image with those of concepts, each with a threshold."""

    wrappers = frozenset({"vision_model", "clip"})
    embedding_paths = ("vision_model.embeddings.patch_embedding",)
    main_input_name = "clip_input"
    _no_split_modules = ("CLIPEncoderLayer",)

    def make_layers(self) -> None:
        dim, vision = self.config.projection_dim, self.config.vision_config
        self.vision_model = CLIPVisionModel(vision)
        self.visual_projection = nn.Linear(vision.hidden_size, dim, bias=False)
        for name, count in (("concept_embeds", 17), ("special_care_embeds", 3)):
            thresholds = nn.Parameter(torch.ones(count), requires_grad=False)
            setattr(self, name, nn.Parameter(torch.ones(count, dim), requires_grad=False))
            setattr(self, f"{name}_weights", thresholds)

    @torch.no_grad()
    def forward(self, clip_input: Tensor, images: Any) -> tuple[Any, list[bool]]:
        """Return `images` with unwanted ones set to zero, and a flag for each.

        Args:
            clip_input: the images from the CLIP image processor, (B, 3, H, W).
            images: the same images as a tensor, an array or a list of length B; not modified.
        """
        flags = self.find_unwanted(clip_input).tolist()
        return blackened(images, flags, "unwanted content"), flags

    def find_unwanted(self, clip_input: Tensor) -> Tensor:
        """Return a flag for each image, (B,), True for unwanted content."""
        pooled = self.vision_model(clip_input).pooler_output
        embeds = normalize(self.visual_projection(pooled))
        special = _excess(embeds, self.special_care_embeds, self.special_care_embeds_weights, 0.0)
        closer = _SPECIAL_CARE * (special > 0).any(dim=1, keepdim=True)
        excess = _excess(embeds, self.concept_embeds, self.concept_embeds_weights, closer)
        return (excess > 0).any(dim=1)


def _excess(embeds: Tensor, concepts: Tensor, thresholds: Tensor, closer: Tensor | float) -> Tensor:
    """Return the similarities minus their thresholds (B, concepts), rounded to three decimals."""
    similarity = (embeds @ normalize(concepts).T).float()
    return (similarity - thresholds.float() + closer).round(decimals=3)
