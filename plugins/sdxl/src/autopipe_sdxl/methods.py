"""Methods of the family for programs with their own denoising loop, by the names of diffusers."""

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
    """Methods for programs with their own denoising loop."""

    @property
    def default_sample_size(self) -> int:
        """The training height of the U-Net, in latent pixels."""
        return self.trained_size()[0]

    def _get_add_time_ids(
        self,
        original_size: Size,
        crops_coords_top_left: Size,
        target_size: Size,
        dtype: torch.dtype,
        text_encoder_projection_dim: int | None = None,
    ) -> Tensor:
        """Return the size ids (1, 6) for the U-Net; see `Sizes`.

        Args:
            text_encoder_projection_dim: the width of pooled prompts, to check the number of ids.

        Raises:
            ArgumentError: if the U-Net takes another number of ids.
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
