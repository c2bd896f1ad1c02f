"""Pictures that change: one class for two tasks, `edit` and `image2image`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from autopipe import Image2Image
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe_components.noise import randn_tensor

from .steps import ShapesSteps

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
        image: Image | list[Image],
        strength: float = 1.0,
        num_inference_steps: int = 4,
        guidance_scale: float = 1.0,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., Any] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Change `image`; `strength` is the part of the steps taken."""
        texts = self._several("prompt", prompt, str, num_images_per_prompt)
        images = self._several("image", image, Image, num_images_per_prompt)
        if len(texts) != len(images) and 1 not in (len(texts), len(images)):
            raise ArgumentError(f"there are {len(texts)} prompts for {len(images)} images")
        if not 0 <= strength <= 1:
            raise ArgumentError(f"strength is {strength}; give a number in [0, 1]")
        if set(callback_on_step_end_tensor_inputs) - {"latents"}:
            raise ArgumentError("a step callback gets latents and nothing else")
        count = max(len(texts), len(images))
        self.check(count, num_inference_steps, generator, output_type)

        told = guidance_scale * torch.cat([self._read(text) for text in texts])
        latents = torch.stack([self._pixels(one) for one in images]).expand(count, -1, -1, -1)
        self.scheduler.set_timesteps(num_inference_steps, self._execution_device)
        taken = round(num_inference_steps * strength)
        timesteps = self.scheduler.timesteps[num_inference_steps - taken :]
        if taken:
            noise = randn_tensor(latents.shape, generator, latents.device, latents.dtype)
            latents = self.scheduler.add_noise(latents, noise, timesteps[:1])
        drawn = self.draw(
            latents, timesteps, told,
            callback_on_step_end=callback_on_step_end,
            callback_inputs=callback_on_step_end_tensor_inputs,
        )  # fmt: skip
        return self.returned(drawn, output_type, return_dict)

    def _several(self, name: str, given: Any, kind: type, repeats: int) -> list[Any]:
        """What was given as a list, each of it so many times."""
        items = given if isinstance(given, list) else [given]
        if not items or not all(isinstance(item, kind) for item in items):
            raise ArgumentTypeError(f"{name} is {given!r}; give a {kind.__name__}, or a list")
        if repeats < 1:
            raise ArgumentError("give 1 or more num_images_per_prompt")
        return [item for item in items for _ in range(repeats)]

    def _read(self, text: str) -> Tensor:
        """(1, 3, 1, 1): a colour for a text."""
        letters = [[ord(letter) % LETTERS for letter in text or " "]]
        state = self.text_encoder(torch.tensor(letters, device=self._execution_device))
        colour: Tensor = state.last_hidden_state[:, -1, :3, None, None]
        return colour

    def _pixels(self, image: Image) -> Tensor:
        """(3, H, W) in [-1, 1]."""
        pixels = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)) / 127.5 - 1
        return pixels.permute(2, 0, 1).to(self._execution_device, self.dtype)
