"""PNDM: denoises pixels by linear multistep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.kinds import Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.schedulers.pndm import PNDMScheduler
from autopipe_components.steps.codec import Generators

from .labels import Labels
from .steps import Result, UnconditionalSteps, converted


class PNDMPipeline(UnconditionalSteps):
    """Draws pixels with `PNDMScheduler`; another scheduler is converted to it.

    "Pseudo Numerical Methods for Diffusion Models on Manifolds" (Liu et al., 2022,
    arXiv:2202.09778).
    """

    def __init__(self, unet: UNet2DModel, scheduler: Scheduler) -> None:
        super().__init__(unet, converted(scheduler, PNDMScheduler))

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 50,
        generator: Generators = None,
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
            num_inference_steps: the number of denoising steps, at least four unless the scheduler
                has `skip_prk_steps`. The first three evaluate the network four times.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
