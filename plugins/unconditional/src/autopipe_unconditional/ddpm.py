"""DDPM: denoises pixels with all steps of the training, or some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.codec import Generators

from .labels import Labels
from .steps import Result, UnconditionalSteps


class DDPMPipeline(UnconditionalSteps):
    """Draws pixels with a scheduler of any kind, such as `DDPMScheduler`.

    "Denoising Diffusion Probabilistic Models" (Ho et al., 2020, arXiv:2006.11239).
    """

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        generator: Generators = None,
        num_inference_steps: int = 1000,
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

        Args:
            batch_size: the number of images; with several `class_labels`, it is theirs.
            generator: the random generator, or a list with one per image.
            num_inference_steps: the number of denoising steps; more give better images.
            output_type: `"pil"`, `"np"` or `"pt"`.
            return_dict: if False, return a tuple.
            class_labels: the classes, for networks with classes: a number, a list, or a tensor. By
                default the generator draws one for each image, after the noise.
            latents: the initial noise (B, C, H, W); by default it is sampled.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
