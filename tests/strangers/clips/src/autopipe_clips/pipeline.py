"""Text to video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopipe import BaseOutput, DiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import denoise
from autopipe.utils import pt_to_pil
from autopipe_components.noise import randn_tensor

LETTERS = 32


@dataclass
class ClipsOutput(BaseOutput):
    """`frames`: B lists of pictures, or an array (B, F, H, W, 3) in [0, 1]."""

    frames: Any


class ClipsPipeline(DiffusionPipeline):
    """Shows what a prompt says, for some frames."""

    text_encoder: Any
    network: Any

    def __init__(self, text_encoder: Network, network: Network, scheduler: Scheduler) -> None:
        self.register_modules(text_encoder=text_encoder, network=network, scheduler=scheduler)

    @pipeline_call
    def __call__(
        self,
        prompt: str | list[str],
        num_frames: int = 4,
        num_inference_steps: int = 4,
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ClipsOutput | tuple[Any]:
        """Show what `prompt` says in clips of `num_frames` frames."""
        prompts = prompt if isinstance(prompt, list) else [prompt]
        if not prompts or not all(isinstance(text, str) and text for text in prompts):
            raise ArgumentTypeError(f"prompt is {prompt!r}; give a text or a list of texts")
        if min(num_frames, num_inference_steps, num_videos_per_prompt) < 1:
            raise ArgumentError("give 1 or more frames, steps and videos")
        if output_type not in ("pil", "np"):
            raise ArgumentError(f"output_type is {output_type!r}; give 'pil' or 'np'")
        texts = [text for text in prompts for _ in range(num_videos_per_prompt)]
        size = self.network.config.sample_size
        shape = (len(texts), 3, num_frames, size, size)
        noise = randn_tensor(shape, generator, self._execution_device, self.dtype)
        told = self.encoder("text_encoder", self._read)(texts)
        tensors = {"latents": noise}
        self.scheduler.set_timesteps(num_inference_steps, self._execution_device)

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            seen: Tensor = self.network(sample, told)
            return seen

        clips = denoise(self, tensors, predict, timesteps=self.scheduler.timesteps)
        clips = clips.transpose(1, 2).float().clamp(-1, 1)
        frames: Any = [pt_to_pil(clip) for clip in clips]
        if output_type == "np":
            frames = (clips / 2 + 0.5).permute(0, 1, 3, 4, 2).cpu().numpy()
        return ClipsOutput(frames) if return_dict else (frames,)

    def _read(self, texts: list[str]) -> Tensor:
        """(B, D) from the letters of each text."""
        device = self._execution_device
        letters = [
            torch.tensor([[ord(a) % LETTERS for a in text]], device=device) for text in texts
        ]
        return torch.cat([self.text_encoder(one) for one in letters])
