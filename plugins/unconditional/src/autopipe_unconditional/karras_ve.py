"""Stochastic sampling of Karras et al.: churn, then Heun's method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.schedulers.output import SchedulerOutput
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.timesteps import Schedule

from .labels import Labels
from .schedulers.karras_ve import KarrasVeScheduler
from .steps import Predict, Result, Stepper, UnconditionalSteps


class KarrasVePipeline(UnconditionalSteps):
    """Draws pixels with `KarrasVeScheduler`, for networks of the variance-exploding SDE.

    Each step adds some noise, then evaluates the network twice. "Elucidating the Design Space of
    Diffusion-Based Generative Models" (Karras et al., 2022, arXiv:2206.00364).
    """

    scheduler_class = KarrasVeScheduler
    scheduler: KarrasVeScheduler

    def make_predictor(self, tensors: Tensors) -> Predict:
        """Return the function that adds noise to the sample and predicts the next one."""
        scheduler = self.scheduler

        def slope(sample: Tensor, sigma: Tensor) -> Tensor:
            # In terms of the networks' pixels, which are in [0, 1] (equation 213).
            return sigma / 2 * self.ask((sample + 1) / 2, sigma / 2, tensors)

        def predict(step: int, timestep: Tensor) -> Tensor:
            level = int(timestep)
            after = scheduler.schedule[level - 1] if level else torch.zeros(())
            sample, sigma = scheduler.add_noise_to_input(
                tensors["latents"], scheduler.schedule[level], self.call.generator
            )
            first: Any = scheduler.step(slope(sample, sigma), sigma, after, sample)
            moved: Tensor = first.prev_sample
            if after != 0:
                second = slope(moved, after)
                moved = scheduler.step_correct(
                    second, sigma, after, sample, moved, first.derivative
                )[0]
            return moved

        return predict

    def make_stepper(self, schedule: Schedule) -> Stepper:
        """Return what steps to the predicted sample."""
        return Stepper(lambda moved, *_, **__: SchedulerOutput(moved))

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

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
