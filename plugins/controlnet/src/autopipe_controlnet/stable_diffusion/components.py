"""The components that the three tasks share."""

from __future__ import annotations

from typing import ClassVar

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_stable_diffusion.output import Result
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from ..condition import ControlNetCondition


class StableDiffusionControlNet(ControlNetCondition[Result], StableDiffusionSteps):
    """The components of Stable Diffusion 1.x and 2.x, and a ControlNet.

    Args:
        controlnet: a `ControlNetModel`, or several: a `MultiControlNetModel` or a list.

    All other parameters are those of `StableDiffusionPipeline`. The scheduler is taken as it is.

    Raises:
        ArgumentError: if the ControlNet was trained for another kind of U-Net, or there is a safety
            checker but no feature extractor.
    """

    scheduler_corrections: ClassVar = {}

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        controlnet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        image_encoder: Network = None,
        requires_safety_checker: bool = True,
    ) -> None:
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
            requires_safety_checker=requires_safety_checker,
        )
        self._take_controlnet(controlnet)
