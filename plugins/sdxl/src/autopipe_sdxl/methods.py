"""Methods of the family that programs with a loop of their own call, by the names they know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autopipe_components.latent import LatentPipeline
from autopipe_components.steps.checks import check_text
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES

from .output import Result
from .prompt import Prompts
from .sizes import Ids, Size, Sizes, check_ids, ids_of_noise

TEXTS_2 = "negative_prompt negative_prompt_2 prompt_embeds negative_prompt_embeds"
POOLED = "pooled_prompt_embeds negative_pooled_prompt_embeds"
FURTHER = f"{IMAGE_PROMPTS} {NAMES}"


class StableDiffusionXLMethods(LatentPipeline[Result]):
    """What a program calls between the steps of a loop of its own."""

    @property
    def default_sample_size(self) -> int:
        """The height that the U-Net was trained for, in latent cells."""
        return self.trained_size()[0]

    def _get_add_time_ids(
        self,
        original_size: Size,
        crops_coords_top_left: Size,
        target_size: Size,
        dtype: torch.dtype,
        text_encoder_projection_dim: int | None = None,
    ) -> Tensor:
        """The sizes (1, 6) that the U-Net is told; see `Sizes`.

        Args:
            text_encoder_projection_dim: the width of pooled prompts, to check what it takes.

        Raises:
            ArgumentError: it takes another number of them.
        """
        sizes = Sizes(original_size, crops_coords_top_left, target_size)
        return self._as_ids(ids_of_noise(sizes, 0, 0)[1], dtype, text_encoder_projection_dim)

    def _as_ids(self, ids: Ids, dtype: torch.dtype, width: int | None) -> Tensor:
        if width is not None:
            check_ids(self.unet.config, len(ids), width)
        return torch.tensor([list(ids)], dtype=dtype)

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        if "pooled_prompt_embeds" in given:
            names = Prompts.__dataclass_fields__
            Prompts(**{name: given[name] for name in names if name in given}).check()
        else:
            super().check_given_prompts(given)
            check_text("prompt_2", given["prompt_2"])
            check_text("negative_prompt_2", given["negative_prompt_2"])
