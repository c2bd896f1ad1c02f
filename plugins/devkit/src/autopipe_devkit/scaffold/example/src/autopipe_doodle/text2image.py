"""Text to image: from pure noise to what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence

from autopipe import Text2Image
from autopipe.errors import ArgumentError
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from torch import Tensor

from .steps import Call, DoodleSteps, Generators, Prompt, Result


class DoodlePipeline(DoodleSteps, Text2Image):
    """Draws what a prompt says."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 2.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Result:
        """Draw what `prompt` says, in a picture of `height` and `width` pixels.

        `latents` (B, 3, H, W) takes the place of the first noise.
        """
        # 1. Check everything that can be checked
        call = Call.of(self.call)
        call.check()
        size: int = self.network.config.sample_size
        height, width = height or size, width or size
        if height < 1 or width < 1:
            raise ArgumentError(f"height {height} and width {width} must be positive")
        shape = (len(call.prompts), 3, height, width)
        if latents is not None and tuple(latents.shape) != shape:
            raise ArgumentError(f"latents are {tuple(latents.shape)}, and {shape} is needed")

        # 2. Lay out the steps
        self.scheduler.set_timesteps(num_inference_steps, self.device)

        # 3. Start from noise
        if latents is None:
            latents = self._noise(call, height, width)

        # 4. Denoise
        pictures = self._denoise(call, latents, self.scheduler.timesteps)
        return self._returned(call, pictures)
