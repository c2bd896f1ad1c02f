"""Image to image: changes an image towards a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Image2Image
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentImage2Image
from autopipe_components.steps.chats import ChatEmbeds
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators

from .output import Result
from .steps import ZImageImageSteps


class ZImageImg2ImgPipeline(ZImageImageSteps, LatentImage2Image[Result], Image2Image):
    """Image to image with Z-Image."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.6,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 5.0,
        cfg_normalization: bool | float | None = False,
        cfg_truncation: float | None = 1.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: ChatEmbeds | None = None,
        negative_prompt_embeds: ChatEmbeds | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 512,
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt`.

        All other parameters are those of `ZImagePipeline`.

        Args:
            image: the initial image: PIL, array or tensor, or a list; or latents (N, 16, h, w). One
                per prompt, or fewer, which are then repeated. Images are resized.
            strength: the part of the steps to take, in [0, 1]; 1 ignores the image.
            height, width: in pixels, multiples of 16; by default those of the image, rounded down.
            latents: noised latents (B, 16, h, w), in place of those of `image`.

        Returns:
            `ZImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
