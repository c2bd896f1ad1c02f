"""What families share whose network predicts noise under classifier-free guidance.

Nothing here knows what is denoised: latents of an autoencoder, or pixels. A task puts these steps
around those of its family; nothing here knows a task's signature either, and nothing a model's
name. A condition adds to the prediction from outside. The network is asked through hooks: here it
is a U-Net, and a family with another kind says in `denoiser` which one it is, and in
`run_denoiser` how it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import Tensors, accepted_options, denoise
from autopipe.placement.budget import check_room
from autopipe.scheduling import SchedulerMixin

from .images.kinds import OUTPUT_TYPES
from .networks.conditioning import check_cross_attention_kwargs
from .schedulers.options import LEARNED_VARIANCES
from .steps.checks import (
    check_generators,
    check_guidance,
    check_images_per_prompt,
    check_output_type,
)
from .steps.codec import Generators
from .steps.guidance import double, embed_scale, guide
from .steps.prompt import join_halves
from .steps.reports import Reports
from .steps.timesteps import Schedule

Predict: TypeAlias = Callable[[int, Tensor], Tensor]
"""`(step, timestep) -> prediction`, as the denoising loop takes it."""

Steering: TypeAlias = Callable[[int, Tensor, Tensor, Mapping[str, Any]], Mapping[str, Any]]
"""`(step, sample, timestep, inputs) -> further inputs` of the network, such as residuals.

`sample` are the latents as the network sees them, scaled and under guidance doubled, without
further channels; `inputs` are what the family gives the network besides.
"""


class GuidedPipeline(DiffusionPipeline):
    """The steps of a call around the denoising loop; see the families for their components."""

    output_types: ClassVar[tuple[str, ...]] = OUTPUT_TYPES

    required_components: ClassVar[tuple[str, ...]] = ("unet", "scheduler")
    """The components without which no call can be made."""

    negative_halves: ClassVar[Mapping[str, str]] = {}
    """Tensors that callbacks see and replace by themselves; each is, under guidance, the negative
    half of the tensor that it names here."""

    unet: Any

    _guidance_scale: float = 1.0
    _cross_attention_kwargs: dict[str, Any] | None = None

    # What a call set; a callback may change it

    @property
    def guidance_scale(self) -> float:
        """How closely the prompt is followed; guidance is off at 1 and below."""
        return self._guidance_scale

    @property
    def cross_attention_kwargs(self) -> dict[str, Any] | None:
        """What the network's attention gets."""
        return self._cross_attention_kwargs

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step predicts with and without the prompt."""
        return self._guidance_scale > 1 and self.guidance_embedding_dim is None

    # The network, and how it is asked

    @property
    def denoiser(self) -> Any:
        """The network that predicts."""
        return self.unet

    @property
    def guidance_embedding_dim(self) -> int | None:
        """How wide the guidance scale is that a network distilled on it takes; None for others."""
        width: int | None = getattr(self.denoiser.config, "time_cond_proj_dim", None)
        return width

    def trained_size(self) -> tuple[int, int]:
        """Height and width that the network was trained for, in cells of what it denoises."""
        size = self.denoiser.config.sample_size
        return (size, size) if isinstance(size, int) else size

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        """What the network gets besides sample and timestep, from `tensors` as they are now."""
        return {"encoder_hidden_states": tensors["prompt_embeds"]}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        """The network's prediction (B or 2B, C, h, w), a variance after it along the channels.

        Args:
            sample: (B or 2B, C, h, w), scaled for `timestep`, with further channels if there are.
            guidance: what `embed_guidance_scale` made.
            inputs: those of `denoiser_inputs`, and what steering added to them.
        """
        prediction: Tensor = self.denoiser(
            sample,
            timestep,
            timestep_cond=guidance,
            cross_attention_kwargs=self.cross_attention_kwargs,
            return_dict=False,
            **inputs,
        )[0]
        return prediction

    # Steps of a call, in their order

    def set_call_state(
        self,
        prompts: int,
        *,
        num_images_per_prompt: int,
        generator: Generators,
        guidance_scale: float,
        cross_attention_kwargs: dict[str, Any] | None,
        output_type: str | None,
    ) -> int:
        """Check what every call takes, set the state of the call, and return the batch size.

        The batch is `prompts`, a number, times `num_images_per_prompt`.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        check_images_per_prompt(num_images_per_prompt)
        check_output_type(output_type, self.output_types)
        check_guidance(guidance_scale)
        check_cross_attention_kwargs(cross_attention_kwargs)
        self._guidance_scale = guidance_scale
        self._cross_attention_kwargs = cross_attention_kwargs
        batch_size = prompts * num_images_per_prompt
        check_generators(generator, batch_size)
        return batch_size

    def check_sample_memory(self, pictures: int, height: int, width: int) -> None:
        """Refuse pictures that can't be made on this device, unless the call says otherwise.

        Args:
            pictures: how many.
            height, width: of what is denoised, in its cells.

        Raises:
            ArgumentError: they would take more than twice the memory of the device.
        """
        if self.call.get("check_memory", True):
            works = self.network_sizes(height, width)
            check_room(works, pictures, self._execution_device)

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        """The networks that work on pictures, with the height and width that each works on."""
        return [(self.denoiser, height, width)]

    def make_predictor(
        self,
        tensors: Tensors,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        steering: Steering | None = None,
    ) -> Predict:
        """The guided prediction of a step, from what `tensors` hold in that step.

        Args:
            extra_channels: what the network sees after the latents, each (B or 2B, C, h, w).
            steering: what else it gets; see `Steering`.
        """
        guidance = self.embed_guidance_scale(tensors["latents"])

        def predict(step: int, timestep: Tensor) -> Tensor:
            guided = self.do_classifier_free_guidance
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            sample = double(sample) if guided else sample
            inputs = self.denoiser_inputs(tensors)
            if steering is not None:
                inputs.update(steering(step, sample, timestep, inputs))
            extra = [one[-len(sample) :] for one in extra_channels()]
            seen = torch.cat([sample, *extra], dim=1) if extra else sample
            prediction = self.run_denoiser(seen, timestep, guidance, inputs)
            return self._settle(prediction, guided, tensors["latents"].shape[1])

        return predict

    def _settle(self, prediction: Tensor, guided: bool, channels: int) -> Tensor:
        """What the scheduler takes, of the network's prediction, (2B, ...) where `guided`.

        What comes after the first `channels` is a predicted variance: that of the conditional
        half, for schedulers that take one.
        """
        mean, variance = prediction[:, :channels], prediction[:, channels:]
        if guided:
            mean, variance = self.apply_guidance(mean), variance.chunk(2)[1]
        if variance.shape[1] and _takes_variance(self.scheduler):
            return torch.cat([mean, variance], dim=1)
        return mean

    def apply_guidance(self, prediction: Tensor) -> Tensor:
        """The guided prediction (B, ...) of (2B, ...), whose first half is unconditional."""
        return guide(prediction, self.guidance_scale)

    def embed_guidance_scale(self, latents: Tensor) -> Tensor | None:
        """The guidance scale (B, D) as a network takes it that was distilled on it; else None."""
        width = self.guidance_embedding_dim
        if width is None:
            return None
        embedded = embed_scale(self.guidance_scale, len(latents), width, dtype=latents.dtype)
        return embedded.to(latents.device)

    def run_loop(
        self,
        tensors: Tensors,
        predict: Predict,
        schedule: Schedule,
        reports: Reports,
        *,
        eta: float,
        generator: Generators,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Walk the schedule; the arguments are those of the core's loop."""
        self._show_halves(tensors)
        return denoise(
            self,
            tensors,
            predict,
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            step_options=self.prepare_extra_step_kwargs(generator, eta),
            keep=keep,
            replace=self._replace,
            **reports,
        )

    def prepare_extra_step_kwargs(self, generator: Generators, eta: float) -> dict[str, Any]:
        """Those of both that the scheduler's `step` takes."""
        return accepted_options(self.scheduler, eta=eta, generator=generator)

    def _show_halves(self, tensors: Tensors) -> None:
        """Put the negative halves into `tensors`, as parts of what the network gets."""
        for half, whole in self.negative_halves.items():
            if self.do_classifier_free_guidance:
                tensors[half] = tensors[whole].chunk(2)[0]
            else:
                tensors.setdefault(half, None)

    def _replace(self, tensors: Tensors, changes: Tensors) -> None:
        """Put what a callback changed into `tensors`; halves into the tensors that they belong to.

        Raises:
            ArgumentError: a half has another shape than the other half.
        """
        tensors.update(changes)
        for half, whole in self.negative_halves.items():
            if half in changes and self.do_classifier_free_guidance:
                tensors[whole] = join_halves(tensors[whole].chunk(2)[1], changes[half])
        if changes:
            self._show_halves(tensors)


def _takes_variance(scheduler: SchedulerMixin) -> bool:
    """Whether `scheduler` reads a variance that the network predicts."""
    # A config may keep the option for another scheduler, so the class is asked too.
    declared = "variance_type" in type(scheduler).init_parameters()
    return declared and scheduler.config["variance_type"] in LEARNED_VARIANCES
