"""Image to image: from a picture with noise on it to what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence

from autopipe import Image2Image
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback

from .images import Images, check_images, check_strength, pixels
from .steps import Call, DoodleSteps, Generators, Prompt, Result


class DoodleImg2ImgPipeline(DoodleSteps, Image2Image):
    """Changes a picture towards what a prompt says."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image: Images,
        strength: float = 0.8,
        num_inference_steps: int = 20,
        guidance_scale: float = 2.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Result:
        """Change `image` towards what `prompt` says; `strength` is the part of the steps taken."""
        # 1. Check everything that can be checked
        call = Call.of(self.call)
        call.check()
        count = len(call.prompts)
        check_images("image", image, count)
        check_strength(strength)

        # 2. Lay out the steps, and keep the last of them
        self.scheduler.set_timesteps(num_inference_steps, self.device)
        taken = round(num_inference_steps * strength)
        timesteps = self.scheduler.timesteps[num_inference_steps - taken :]

        # 3. Put noise on the picture
        latents = pixels(image, count).to(self.device, self.dtype)
        if taken:
            noise = self._noise(call, *latents.shape[-2:])
            latents = self.scheduler.add_noise(latents, noise, timesteps[0])

        # 4. Denoise
        pictures = self._denoise(call, latents, timesteps)
        return self._returned(call, pictures)
