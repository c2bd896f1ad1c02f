"""What the tasks share that start from an image."""

from __future__ import annotations

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.steps.timesteps import Schedule, start_at

from .sizes import Ids, Sizes, ids_of_image, ids_of_scored_image
from .steps import StableDiffusionXLSteps


class StableDiffusionXLImageSteps(StableDiffusionXLSteps):
    """What the tasks share that start from an image.

    Args:
        requires_aesthetics_score: whether the U-Net takes a score in place of the target size,
            as refiners do. The other arguments are those of `StableDiffusionXLSteps`.
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
    def _adds_noise(self) -> bool:
        # What another model left has its noise already.
        return self.denoising_start is None

    def _tail(self, schedule: Schedule) -> Schedule:
        if self.denoising_start is None:
            return super()._tail(schedule)
        return start_at(self.scheduler, self.denoising_start)

    def _size_ids(self, sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
        scored = self.options["requires_aesthetics_score"]
        return (ids_of_scored_image if scored else ids_of_image)(sizes, height, width)
