"""Score SDE: denoises pixels by a predictor and a corrector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.timesteps import Schedule

from .labels import Labels
from .schedulers.score_sde_ve import ScoreSdeVeScheduler
from .steps import Predict, Result, Stepper, UnconditionalSteps


class ScoreSdeVePipeline(UnconditionalSteps):
    """Draws pixels with `ScoreSdeVeScheduler`.

    Each step corrects the sample at its noise level as often as the scheduler says, then predicts
    the next one. "Score-Based Generative Modeling through Stochastic Differential Equations" (Song
    et al., 2021, arXiv:2011.13456).
    """

    scheduler_class = ScoreSdeVeScheduler
    scheduler: ScoreSdeVeScheduler

    def make_schedule(self) -> Schedule:
        """Set the timesteps of the call, and their noise levels."""
        schedule = super().make_schedule()
        self.scheduler.set_sigmas(self.call.num_inference_steps)
        return schedule

    def make_predictor(self, tensors: Tensors) -> Predict:
        """Return the function that corrects the sample and predicts the score."""
        scheduler, generator = self.scheduler, self.call.generator

        def predict(step: int, timestep: Tensor) -> Tensor:
            sigma = scheduler.sigmas[step].to(tensors["latents"]).expand(len(tensors["latents"]))
            for _ in range(scheduler.config.correct_steps):
                score = self.ask(tensors["latents"], sigma, tensors)
                corrected = scheduler.step_correct(score, tensors["latents"], generator)
                tensors["latents"] = corrected[0]
            return self.ask(tensors["latents"], sigma, tensors)

        return predict

    def make_stepper(self, schedule: Schedule) -> Stepper:
        """Return what steps with the scheduler; the last step adds no noise."""

        def step(score: Tensor, timestep: Tensor, sample: Tensor, **options: Any) -> Any:
            output: Any = self.scheduler.step_pred(score, timestep, sample, **options)
            if timestep == schedule.timesteps[-1]:
                output.prev_sample = output.prev_sample_mean
            return output

        return Stepper(step)

    def decode(self, denoised: Tensor) -> Tensor:
        """Return the images of what the loop made; these networks draw in [0, 1]."""
        return denoised.clamp(0, 1)

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 2000,
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
