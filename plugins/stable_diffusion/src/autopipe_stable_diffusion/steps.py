"""The components that all tasks of the family share.

The tasks of `autopipe_components.latent` call the steps of their classes; nothing here depends on
a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.safety import check_safety

from .checked import CheckedOutput
from .corrections import correct_sample_size, correct_scheduler
from .output import Result
from .text_steps import TextSteps


class StableDiffusionSteps(CheckedOutput[Result], TextSteps[Result]):
    """The components of Stable Diffusion 1.x and 2.x, and the steps that all tasks share.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel`.
        scheduler: any scheduler. Configs of old checkpoints are corrected in a copy; see
            `scheduler_corrections`.
        safety_checker: a `StableDiffusionSafetyChecker`, or a function `(images, clip_input)` that
            returns images and flags; with None, images are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, required by the safety checker.
        image_encoder: for add-ons that take image prompts, with the feature extractor.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->unet->vae"
    _optional_components: ClassVar[tuple[str, ...]] = (
        "safety_checker",
        "feature_extractor",
        "image_encoder",
    )

    scheduler_corrections: ClassVar[Mapping[str, Any]] = {"steps_offset": 1, "clip_sample": False}
    """Config entries that are set in a copy of the scheduler passed to the constructor."""

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        image_encoder: Network = None,
        requires_safety_checker: bool = True,
    ) -> None:
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=requires_safety_checker,
            license_of="Stable Diffusion",
        )
        correct_sample_size(unet)
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=correct_scheduler(scheduler, self.scheduler_corrections),
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
        )
        self.register_to_config(requires_safety_checker=requires_safety_checker)
