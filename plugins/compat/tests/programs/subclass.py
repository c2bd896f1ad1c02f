"""A subclass of a pipeline with another `prepare_latents` and an own argument."""

import sys

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from diffusers.utils.torch_utils import randn_tensor

model_id, out = sys.argv[1:]


class OffsetPipeline(StableDiffusionPipeline):
    offset = 0.1

    def prepare_latents(
        self,
        batch_size: int,
        num_channels_latents: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        shape = (
            batch_size,
            num_channels_latents,
            height // self.vae_scale_factor,
            width // self.vae_scale_factor,
        )
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
            latents += self.offset * randn_tensor(
                (shape[0], shape[1], 1, 1), generator=generator, device=device, dtype=dtype
            )
        return latents * self.scheduler.init_noise_sigma


pipe = OffsetPipeline.from_pretrained(model_id, safety_checker=None)
pipe.set_progress_bar_config(disable=True)
result = pipe(
    "a purple heart", num_inference_steps=5, generator=torch.manual_seed(5), output_type="np"
)
assert isinstance(result, StableDiffusionPipelineOutput)
np.savez(out, images=result.images)
