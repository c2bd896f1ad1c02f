"""What the tasks share that start from an image."""

from __future__ import annotations

from collections.abc import Sequence

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.stages.timesteps import Schedule, keep_tail, set_schedule, start_at

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

    def _lay_out(
        self,
        *,
        num_inference_steps: int,
        timesteps: Sequence[int] | None,
        sigmas: Sequence[float] | None,
        strength: float,
    ) -> Schedule:
        """The steps from `denoising_start` on, or the last part of them that `strength` says."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=num_inference_steps,
            device=self._execution_device,
            timesteps=timesteps,
            sigmas=sigmas,
        )
        if self.denoising_start is not None:
            return start_at(self.scheduler, self.denoising_start)
        return keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

    def _size_ids(self, sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
        scored = self.options["requires_aesthetics_score"]
        return (ids_of_scored_image if scored else ids_of_image)(sizes, height, width)
