"""Consistency models: draw pixels in one step or a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.codec import Generators

from .labels import Labels
from .steps import Result, UnconditionalSteps


class ConsistencyModelPipeline(UnconditionalSteps):
    """Draws pixels with a consistency model (Song et al., 2023, arXiv:2303.01469).

    Args:
        unet: a `UNet2DModel`.
        scheduler: a `CMStochasticIterativeScheduler`.
    """

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: Labels = None,
        num_inference_steps: int | None = 1,
        timesteps: Sequence[int] | None = None,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int | None = 1,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Draw images.

        All other parameters are those of `DDPMPipeline`.

        Args:
            num_inference_steps: the number of denoising steps, from 1 to what the scheduler was
                trained with.
            timesteps: a custom schedule in place of a number of steps: the noise levels to visit,
                counted from the highest one, 0; in descending order.
            callback, callback_steps: the older form of a callback, `callback(step, timestep,
                latents)`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
