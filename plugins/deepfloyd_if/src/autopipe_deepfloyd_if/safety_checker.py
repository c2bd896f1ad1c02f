"""The safety checker of DeepFloyd IF, which makes unwanted and watermarked images black."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPVisionModelWithProjection, PreTrainedModel

from autopipe_components.safety import blackened


class IFSafetyChecker(PreTrainedModel):  # type: ignore[misc]  # not typed
    """Two linear scores of the CLIP embedding of an image: for unwanted content and watermarks."""

    config_class = CLIPConfig
    main_input_name = "clip_input"
    _no_split_modules = ("CLIPEncoderLayer",)

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = CLIPVisionModelWithProjection(config.vision_config)
        self.p_head = nn.Linear(config.vision_config.projection_dim, 1)
        self.w_head = nn.Linear(config.vision_config.projection_dim, 1)
        self.post_init()

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
