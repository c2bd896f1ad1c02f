"""Super-resolution of an image that was generated from another image."""

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

from ..image_steps import IFImageSteps
from ..steps import Result
from .steps import SuperResolutionSteps


class IFImg2ImgSuperResolutionPipeline(SuperResolutionSteps, IFImageSteps):
    """Enlarges a changed image with the second stage of DeepFloyd IF."""

    check_inputs = checks_of("prompt image original_image batch_size callback_steps", TEXTS)

    @pipeline_call
    def __call__(
        self,
        image: ImageInput,
        original_image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.8,
        prompt: Prompt | None = None,
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
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Enlarge `image`, which was generated from `original_image`.

        All other parameters are those of `Call`.

        Args:
            image, noise_level: as for `IFSuperResolutionPipeline`.
            original_image, strength: the initial image, as `image` of `IFImg2ImgPipeline`, which
                determines the output size, and its strength.

        Returns:
            `IFPipelineOutput`, or the tuple of its three values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
