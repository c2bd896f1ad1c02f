"""DDIM: denoises pixels in few steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.kinds import Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, accepted_options
from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.steps.codec import Generators

from .labels import Labels
from .steps import Result, UnconditionalSteps, converted


class DDIMPipeline(UnconditionalSteps):
    """Draws pixels with `DDIMScheduler`; another scheduler is converted to it.

    "Denoising Diffusion Implicit Models" (Song et al., 2021, arXiv:2010.02502).
    """

    def __init__(self, unet: UNet2DModel, scheduler: Scheduler) -> None:
        super().__init__(unet, converted(scheduler, DDIMScheduler))

    def step_options(self) -> dict[str, Any]:
        """Return the additional arguments of the scheduler's `step`."""
        clipped = self.call.use_clipped_model_output
        given = {} if clipped is None else {"use_clipped_model_output": clipped}
        return {**super().step_options(), **accepted_options(self.scheduler, **given)}

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        generator: Generators = None,
        eta: float = 0.0,
        num_inference_steps: int = 50,
        use_clipped_model_output: bool | None = None,
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
            eta: how much noise each step adds, from 0, none, to 1, that of DDPM.
            use_clipped_model_output: whether steps derive the noise from the clipped prediction of
                the clean image; None for no.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
