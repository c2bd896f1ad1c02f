"""The components that the tasks share, and the prompt tensors for step callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.steps.timesteps import Schedule
from autopipe_sdxl.image_steps import StableDiffusionXLImageSteps
from autopipe_sdxl.output import Result
from autopipe_sdxl.steps import StableDiffusionXLSteps

from ..condition import ControlNetCondition


class _Steered(ControlNetCondition[Result], StableDiffusionXLSteps):
    """A call of the family with a ControlNet."""

    negative_halves: ClassVar[Mapping[str, str]] = {
        "negative_prompt_embeds": "prompt_embeds",
        "negative_pooled_prompt_embeds": "add_text_embeds",
        "add_neg_time_ids": "add_time_ids",
    }

    _planned: int

    def trim_end(self, schedule: Schedule) -> Schedule:
        self._planned = len(schedule.timesteps)
        return super().trim_end(schedule)

    @property
    def _steps_in_all(self) -> int:
        # Including those after `denoising_end`, which belong to another model.
        return self._planned


class StableDiffusionXLControlNet(_Steered):
    """The components of Stable Diffusion XL, and a ControlNet.

    Args:
        controlnet: a `ControlNetModel`, or several: a `MultiControlNetModel` or a list.

    All other parameters are those of `StableDiffusionXLPipeline`.

    Raises:
        ArgumentError: if the ControlNet was trained for another kind of U-Net.
    """

    negative_halves: ClassVar[Mapping[str, str]] = {
        "negative_prompt_embeds": "prompt_embeds",
        "negative_pooled_prompt_embeds": "add_text_embeds",
        "negative_add_time_ids": "add_time_ids",
    }

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        controlnet: Network,
        scheduler: Scheduler,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
        feature_extractor: Processor = None,
        image_encoder: Network = None,
    ) -> None:
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            add_watermarker=add_watermarker,
        )
        self._take_controlnet(controlnet)


class StableDiffusionXLControlNetOnImages(_Steered, StableDiffusionXLImageSteps):
    """The same as `StableDiffusionXLControlNet`, for the tasks with an initial image.

    Args:
        requires_aesthetics_score: whether the U-Net takes an aesthetic score in place of the target
            size, as refiners do.
    """

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        controlnet: Network,
        scheduler: Scheduler,
        requires_aesthetics_score: bool = False,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
        feature_extractor: Processor = None,
        image_encoder: Network = None,
    ) -> None:
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
            requires_aesthetics_score=requires_aesthetics_score,
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            add_watermarker=add_watermarker,
        )
        self._take_controlnet(controlnet)
