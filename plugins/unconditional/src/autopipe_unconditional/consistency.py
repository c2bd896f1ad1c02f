"""Consistency models: draw pixels in one step or a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import check_output_type
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import check_at_least_one, check_steps
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.text2image import check_latents, start_from_noise

from .labels import Labels, check_labels, labels_for
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
            callback, callback_steps: the older form of a callback,
                `callback(step, timestep, latents)`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # For programs with their own loop

    def check_inputs(
        self,
        num_inference_steps: int | None,
        timesteps: Sequence[int] | None,
        latents: Tensor | None,
        batch_size: int,
        img_size: int,
        callback_steps: int,
    ) -> None:
        """Check arguments of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if one is not valid.
        """
        check_steps(num_inference_steps, timesteps)
        check_at_least_one("batch_size", batch_size)
        check_at_least_one("callback_steps", callback_steps)
        if latents is not None:
            check_latents(latents, (batch_size, self.unet.config.in_channels, img_size, img_size))

    def prepare_latents(
        self,
        batch_size: int,
        num_channels: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Return the initial noise (B, C, H, W); `latents` is unit noise to use in place of it.

        Raises:
            ArgumentError: if the generators or `latents` don't fit.
        """
        return start_from_noise(
            (batch_size, num_channels, height, width),
            generator=generator,
            dtype=dtype,
            device=device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=latents,
        )

    def prepare_class_labels(
        self, batch_size: int, device: torch.device | str, class_labels: Labels = None
    ) -> Tensor | None:
        """Return a class for each image, (B,), drawn if none is given; None without classes.

        Raises:
            ArgumentError: if the classes don't fit.
        """
        check_labels(class_labels, self.unet, self.class_count)
        return labels_for(class_labels, batch_size, self.class_count, None, torch.device(device))

    def postprocess_image(self, sample: Tensor, output_type: str = "pil") -> Any:
        """Return the images of `sample` (B, C, H, W) in [-1, 1], as `output_type` says.

        Raises:
            ArgumentError: if there is no such type.
        """
        check_output_type(output_type, self.output_types)
        return self.converted_images(self.decode(sample), output_type)
