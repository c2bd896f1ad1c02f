"""Text to image with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_stable_diffusion.output import Result

from .steps import OnnxStableDiffusionSteps, Randomness


class OnnxStableDiffusionPipeline(OnnxStableDiffusionSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Stable Diffusion 1.x and 2.x, run by ONNX Runtime."""

    check_inputs = checks_of("prompt height width callback_steps", TEXTS)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = 512,
        width: int | None = 512,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Randomness = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_rescale: float = 0.0,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            height, width: in pixels, multiples of 8; None for the training resolution of the U-Net.
            generator: the random generator, or a list with one per image; or a
                `numpy.random.RandomState`, which draws the noise of diffusers.
            callback, callback_steps: `callback(step, timestep, latents)`, called every
                `callback_steps` timesteps.
            cross_attention_kwargs, clip_skip: refused, since they reach into networks.
            check_memory: ignored; what ONNX Runtime takes is not known beforehand.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    def begin_call(self) -> int:
        batch_size = super().begin_call()
        self.start_from_noise(batch_size)
        return batch_size
