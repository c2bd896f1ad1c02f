"""Latent diffusion without a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.kinds import Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.networks.vq_model import VQModel
from autopipe_components.steps.codec import Generators, VaeCodec

from .labels import Labels
from .steps import Result, UnconditionalSteps


class LDMPipeline(UnconditionalSteps):
    """Draws latents, and decodes them to images.

    "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022,
    arXiv:2112.10752).

    Args:
        vqvae: the autoencoder.
        unet: the network, which denoises latents.
        scheduler: a scheduler of any kind.
    """

    model_cpu_offload_seq = "unet->vqvae"

    vqvae: VQModel

    def __init__(self, vqvae: VQModel, unet: UNet2DModel, scheduler: Scheduler) -> None:
        self.register_modules(vqvae=vqvae, unet=unet, scheduler=scheduler)

    def network_sizes(self) -> list[tuple[Any, int, int]]:
        factor = VaeCodec(self.vqvae).factor
        height, width = (side * factor for side in self.sample_size)
        return [*super().network_sizes(), (self.vqvae, height, width)]

    def decode(self, denoised: Tensor) -> Tensor:
        """Return the images of latents, (B, C, H, W) in [0, 1]."""
        return super().decode(VaeCodec(self.vqvae).decode(denoised))

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        generator: Generators = None,
        eta: float = 0.0,
        num_inference_steps: int = 50,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        class_labels: Labels = None,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Draw images.

        All other parameters are those of `DDPMPipeline`.

        Args:
            eta: how much noise each step of DDIM adds, from 0, none, to 1, that of DDPM.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
