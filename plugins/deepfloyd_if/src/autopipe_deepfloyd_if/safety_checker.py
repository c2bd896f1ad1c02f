"""The safety checker of DeepFloyd IF, which makes unwanted and watermarked images black."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autopipe_components.encoders.clip import CLIPHalves
from autopipe_components.encoders.clip_vision import CLIPVisionModelWithProjection
from autopipe_components.safety import blackened


class IFSafetyChecker(CLIPHalves):
    """Two linear scores of the CLIP embedding of an image: for unwanted content and watermarks."""

    wrappers = frozenset({"vision_model", "clip"})
    embedding_paths = ("vision_model.vision_model.embeddings.patch_embedding",)
    main_input_name = "clip_input"
    _no_split_modules = ("CLIPEncoderLayer",)

    def make_layers(self) -> None:
        vision = self.config.vision_config
        self.vision_model = CLIPVisionModelWithProjection(vision)
        self.p_head = nn.Linear(vision.projection_dim, 1)
        self.w_head = nn.Linear(vision.projection_dim, 1)

    @torch.no_grad()
    def forward(
        self,
        clip_input: Tensor,
        images: Any,
        p_threshold: float = 0.5,
        w_threshold: float = 0.5,
    ) -> tuple[Any, list[bool], list[bool]]:
        """Return `images` with flagged ones set to zero, and flags for content and watermarks.

        Args:
            clip_input: the images from the CLIP image processor, (B, 3, H, W).
            images: the same images as a tensor, an array or a list of length B; not modified.
            p_threshold, w_threshold: the thresholds of the scores for content and watermarks.
        """
        embeds = self.vision_model(clip_input).image_embeds
        unwanted: list[bool] = (self.p_head(embeds) > p_threshold).flatten().tolist()
        marked: list[bool] = (self.w_head(embeds) > w_threshold).flatten().tolist()
        images = blackened(images, unwanted, "unwanted content")
        images = blackened(images, marked, "watermarks")
        return images, unwanted, marked
