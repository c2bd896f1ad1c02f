"""Prior and decoder as one pipeline: text to image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Result

from ..text2image import KandinskyV22Pipeline
from .steps import KandinskyV22Combined


class KandinskyV22CombinedPipeline(KandinskyV22Combined, Text2Image):
    """Text to image with Kandinsky 2.2."""

    decoder_class = KandinskyV22Pipeline

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        negative_prompt: Prompt | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        height: int = 512,
        width: int = 512,
        prior_guidance_scale: float = 4.0,
        prior_num_inference_steps: int = 25,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        prior_callback_on_step_end: StepCallback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        prior_latents: Tensor | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Other parameters are those of the prior, `KandinskyV22PriorPipeline`, if
        they begin with `prior_`, else those of the decoder, `KandinskyV22Pipeline`.

        Args:
            prompt: a string, or a list of strings.
            negative_prompt: what to avoid, one for each prompt.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator of both, or a list with one per image.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
