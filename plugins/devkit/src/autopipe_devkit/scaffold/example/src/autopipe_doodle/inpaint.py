"""Inpainting: from noise where a mask is white, with the rest of a picture around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from autopipe import Inpaint
from autopipe.errors import ArgumentError
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from torch import Tensor

from .images import Images, check_images, check_strength, marked, pixels
from .steps import Call, DoodleSteps, Generators, Prompt, Result


class DoodleInpaintPipeline(DoodleSteps, Inpaint):
    """Repaints the part of a picture that a mask marks white."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image: Images,
        mask_image: Images,
        strength: float = 1.0,
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
        """Repaint `image` where `mask_image` is white; every other pixel stays as it is."""
        # 1. Check everything that can be checked
        call = Call.of(self.call)
        call.check()
        count = len(call.prompts)
        check_images("image", image, count)
        check_images("mask_image", mask_image, count)
        check_strength(strength)
        original, mask = pixels(image, count), marked(mask_image, count)
        if original.shape[-2:] != mask.shape[-2:]:
            raise ArgumentError("image and mask_image are of different sizes; give both alike")

        # 2. Lay out the steps, and keep the last of them
        self.scheduler.set_timesteps(num_inference_steps, self.device)
        taken = round(num_inference_steps * strength)
        timesteps = self.scheduler.timesteps[num_inference_steps - taken :]

        # 3. Put noise on the picture
        original, mask = (part.to(self.device, self.dtype) for part in (original, mask))
        noise = self._noise(call, *original.shape[-2:])
        latents = self.scheduler.add_noise(original, noise, timesteps[0]) if taken else original

        # 4. Denoise, with the rest of the picture as noisy as what is repainted
        def keep(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
            around = original
            if step + 1 < len(timesteps):
                around = self.scheduler.add_noise(original, noise, timesteps[step + 1])
            return torch.where(mask > 0, latents, around)

        pictures = self._denoise(call, latents, timesteps, keep)
        return self._returned(call, pictures)
