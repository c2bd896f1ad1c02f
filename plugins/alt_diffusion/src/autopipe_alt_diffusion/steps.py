"""The steps that both tasks share: those of Stable Diffusion, with another text encoder."""

from __future__ import annotations

from typing import Any

from autopipe.errors import ArgumentError
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from .output import AltDiffusionPipelineOutput


class AltDiffusionSteps(StableDiffusionSteps):
    """The components of AltDiffusion, and the steps that both tasks share.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `RobertaSeriesModelWithTransformation`.
        tokenizer: a `transformers.XLMRobertaTokenizer`.
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

    output_class = AltDiffusionPipelineOutput
    text_states = "projection_state"

    def check_conditioning(self) -> None:
        super().check_conditioning()
        _check_clip_skip(self.call.clip_skip)

    def encode_texts(self, texts: Any, **options: Any) -> Any:
        _check_clip_skip(options.get("clip_skip"))
        return super().encode_texts(texts, **options)


def _check_clip_skip(clip_skip: int | None) -> None:
    if clip_skip:
        raise ArgumentError(
            f"clip_skip is {clip_skip}, but the projection of this text encoder was trained for "
            f"the states of one layer; leave clip_skip out"
        )
