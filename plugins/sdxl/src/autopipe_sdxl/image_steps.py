"""The steps that the tasks with an initial image share."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.steps.timesteps import Schedule, start_at

from .sizes import Ids, Size, Sizes, ids_of_image, ids_of_scored_image
from .steps import StableDiffusionXLSteps


class StableDiffusionXLImageSteps(StableDiffusionXLSteps):
    """The steps that the tasks with an initial image share.

    Args:
        requires_aesthetics_score: whether the U-Net takes an aesthetic score in place of the target
            size, as refiners do. The other arguments are those of `StableDiffusionXLSteps`.
    """

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        scheduler: Scheduler,
        image_encoder: Network = None,
        feature_extractor: Processor = None,
        requires_aesthetics_score: bool = False,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            text_encoder_2,
            tokenizer,
            tokenizer_2,
            unet,
            scheduler,
            image_encoder,
            feature_extractor,
            force_zeros_for_empty_prompt,
            add_watermarker,
        )
        self.register_to_config(requires_aesthetics_score=requires_aesthetics_score)

    @property
    def adds_noise(self) -> bool:
        # Latents of another model already have their noise.
        return self.denoising_start is None

    def trim_start(self, schedule: Schedule) -> Schedule:
        if self.denoising_start is None:
            return super().trim_start(schedule)
        return start_at(self.scheduler, self.denoising_start)

    def _get_add_time_ids(  # type: ignore[override]  # those of both halves
        self,
        original_size: Size,
        crops_coords_top_left: Size,
        target_size: Size,
        aesthetic_score: float,
        negative_aesthetic_score: float,
        negative_original_size: Size | None,
        negative_crops_coords_top_left: Size,
        negative_target_size: Size | None,
        dtype: torch.dtype,
        text_encoder_projection_dim: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the size ids of the positive and the negative half, (1, 6) or (1, 5) each.

        Args:
            text_encoder_projection_dim: the width of pooled prompts, to check the number of ids.

        Raises:
            ArgumentError: if the U-Net takes another number of ids.
        """
        sizes = Sizes(
            original_size,
            crops_coords_top_left,
            target_size,
            negative_original_size,
            negative_crops_coords_top_left,
            negative_target_size,
            aesthetic_score,
            negative_aesthetic_score,
        )
        negative, positive = (
            self._as_ids(ids, dtype, text_encoder_projection_dim)
            for ids in self._size_ids(sizes, 0, 0)
        )
        return positive, negative

    def _size_ids(self, sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
        scored = self.options["requires_aesthetics_score"]
        return (ids_of_scored_image if scored else ids_of_image)(sizes, height, width)
