"""Super-resolution of an image that was generated from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import TEXTS, checks_of

from ..noise_steps import IFNoiseSteps
from ..steps import Result
from .steps import SuperResolutionSteps


class IFSuperResolutionPipeline(SuperResolutionSteps, IFNoiseSteps):
    """Enlarges an image with the second stage of DeepFloyd IF."""

    check_inputs = checks_of("prompt image batch_size noise_level callback_steps", TEXTS)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        guidance_scale: float = 4.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        noise_level: int = 250,
        clean_caption: bool = True,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        latents: Tensor | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Enlarge `image`, which was generated from `prompt`.

        All other parameters are those of `Call`.

        Args:
            height, width: in pixels; by default the training resolution of the U-Net.
            image: the image to enlarge: PIL; or an array or tensor in [-1, 1], or a list. One per
                prompt, or fewer, which are then repeated.
            noise_level: the amount of noise on the enlarged image, as a timestep of the
                `image_noising_scheduler`; with more noise, more details are invented.
            latents: the initial noise (B, 3, height, width); by default it is sampled.

        Returns:
            `IFPipelineOutput`, or the tuple of its three values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
