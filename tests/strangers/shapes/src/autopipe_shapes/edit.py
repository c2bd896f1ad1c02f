"""Pictures that change: one class for two tasks, `edit` and `image2image`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe import Image2Image, ImagePipelineOutput
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe_components.images.kinds import check_output_type
from autopipe_components.noise import randn_tensor
from autopipe_components.steps import checks
from autopipe_components.steps.codec import check_spread, tile

from .steps import IMAGES, OUTPUT_TYPES, ShapesSteps

LETTERS = 32


class ShapesEditPipeline(ShapesSteps, Image2Image):
    """Changes a picture as a prompt says."""

    text_encoder: Any

    def __init__(self, text_encoder: Network, network: Network, scheduler: Scheduler) -> None:
        self.register_modules(text_encoder=text_encoder, network=network, scheduler=scheduler)

    @pipeline_call
    def __call__(
        self,
        prompt: str | list[str],
        image: Any,
        strength: float = 1.0,
        num_inference_steps: int = 4,
        guidance_scale: float = 1.0,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., Any] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any, ...]:
        """Change `image`; `strength` is the part of the steps taken."""
        # 1. Check everything that can be checked
        checks.check_prompt(prompt)
        checks.check_image(image)
        checks.check_strength(strength)
        checks.check_steps(num_inference_steps)
        checks.check_images_per_prompt(num_images_per_prompt)
        checks.check_callback_inputs(callback_on_step_end_tensor_inputs, ("latents",))
        check_output_type(output_type, OUTPUT_TYPES)
        prompts = [prompt] if isinstance(prompt, str) else prompt
        texts = [text for text in prompts for _ in range(num_images_per_prompt)]
        checks.check_generators(generator, len(texts))
        pixels = IMAGES.preprocess(image).to(self._execution_device, self.dtype)
        check_spread(pixels, len(texts), "images")

        # 2. Read the texts, and put noise on the pictures
        told = guidance_scale * self.encoder("text_encoder", self._read)(texts)
        latents = tile(pixels, len(texts), "images")
        self.scheduler.set_timesteps(num_inference_steps, latents.device)
        taken = round(num_inference_steps * strength)
        timesteps = self.scheduler.timesteps[num_inference_steps - taken :]
        if taken:
            noise = randn_tensor(latents.shape, generator, latents.device, latents.dtype)
            latents = self.scheduler.add_noise(latents, noise, timesteps[:1])

        # 3. Denoise
        made = self.draw(
            latents, timesteps, told, output_type,
            callback_on_step_end=callback_on_step_end,
            callback_inputs=callback_on_step_end_tensor_inputs,
        )  # fmt: skip
        return made if return_dict else made.to_tuple()

    def _read(self, texts: list[str]) -> Tensor:
        """(B, 3, 1, 1): a colour for each text."""
        device = self._execution_device
        letters = [[[ord(letter) % LETTERS for letter in text or " "]] for text in texts]
        states = [self.text_encoder(torch.tensor(one, device=device)) for one in letters]
        return torch.cat([one.last_hidden_state[:, -1, :3, None, None] for one in states])
