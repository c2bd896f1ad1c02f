"""The base class of pipelines with classifier-free guidance (arXiv:2207.12598).

It depends neither on the denoised sample (latents of an autoencoder, or pixels) nor on a task or a
model. By default the network is the component `unet`; a family with another kind of network
overrides `denoiser`, which names it, and `run_denoiser`, which calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import Tensors, accepted_options, denoise
from autopipe.placement.room import check_room
from autopipe.scheduling import SchedulerMixin

from .images.kinds import OUTPUT_TYPES
from .networks.attentive import attention_options
from .schedulers.options import LEARNED_VARIANCES
from .steps.callbacks import StepCallbacks
from .steps.checks import (
    check_generators,
    check_guidance,
    check_images_per_prompt,
    check_output_type,
)
from .steps.codec import Generators
from .steps.guidance import Contrast, Halves, embed_scale, guide, half_of, parts_of
from .steps.prompt import join_halves
from .steps.timesteps import Schedule

if TYPE_CHECKING:
    from .networks.unet import UNet2DConditionModel

Predict: TypeAlias = Callable[[int, Tensor], Tensor]
"""A function `(step, timestep) -> prediction` for the denoising loop."""

Steering: TypeAlias = Callable[[int, Tensor, Tensor, Mapping[str, Any]], Mapping[str, Any]]
"""`(step, sample, timestep, inputs) -> further inputs` of the network, such as residuals.

`sample` is the network's input without further channels: scaled, and doubled under guidance.
`inputs` are the arguments that `denoiser_inputs` and the steerings before this one returned.
"""


class GuidedPipeline(DiffusionPipeline):
    """The base class of pipelines that predict with a network and classifier-free guidance.

    The steps of a call use the methods in the order in which they are defined. In shapes, B is the
    batch size: the number of prompts times `num_images_per_prompt`. Under guidance the network gets
    2B samples: first B without the prompt (the negative half), then B with it.
    """

    attention_argument: ClassVar[str] = "cross_attention_kwargs"
    """The argument of calls that holds the keyword arguments for the network's attention."""

    output_types: ClassVar[tuple[str, ...]] = OUTPUT_TYPES
    """The values of `output_type` that calls accept."""

    required_components: ClassVar[tuple[str, ...]] = ("unet", "scheduler")
    """The components that every call needs; none of them may be None."""

    negative_halves: ClassVar[Mapping[str, str]] = {}
    """The names of negative halves, which step callbacks see and may replace separately, mapped to
    the names of the whole tensors that contain them under guidance. Empty by default."""

    encodes_tokens: ClassVar[bool] = False
    """Whether the functions that encode texts take `Tokens` too, and the network takes embeddings
    of any number of tokens. Add-ons that weight prompts need both."""

    guided_halves: ClassVar[tuple[int, ...]] = (0, 1)
    """The parts that a step under guidance predicts, in the order of the batch, each by the half
    that conditions it: 0 for the negative half, 1 for the prompt's. A family with more parts
    overrides `apply_guidance`, and its tensors of conditions have as many."""

    halves: Halves = "batched"
    """How steps predict under guidance. Add-ons set it in the run of a call, for each step."""

    added_conditions: Mapping[str, Any] = MappingProxyType({})
    """Further entries of the network's `added_cond_kwargs`, (B or 2B, ...). Add-ons set it in the
    run of a call."""
    steerings: tuple[Steering, ...] = ()
    """Functions that give further arguments to the network in each step, one after another.
    Conditions and add-ons append theirs in the run of a call; see `Steering`."""
    contrast: Contrast | None = None
    """A further prediction of the steps. Add-ons set it in the run of a call, for each step."""

    unet: UNet2DConditionModel
    scheduler: SchedulerMixin

    _guidance_scale: float = 1.0
    _cross_attention_kwargs: dict[str, Any] | None = None

    # State of a call, which step callbacks may change

    @property
    def guidance_scale(self) -> float:
        """The guidance scale: how closely images follow the prompt; 1 or less disables guidance."""
        return self._guidance_scale

    @property
    def cross_attention_kwargs(self) -> dict[str, Any] | None:
        """The keyword arguments for the network's attention."""
        return self._cross_attention_kwargs

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step predicts with and without the prompt.

        By default, True if the scale is above 1 and the network doesn't take it as an input.
        """
        return self._guidance_scale > 1 and self.guidance_embedding_dim is None

    @property
    def predicts_both_halves(self) -> bool:
        """Whether the current step predicts with and without the prompt; see `halves`."""
        return self.do_classifier_free_guidance and self.halves != "positive"

    # The network, and how it is called

    @property
    def denoiser(self) -> Any:
        """The network that predicts; by default the component `unet`."""
        return self.unet

    @property
    def guidance_embedding_dim(self) -> int | None:
        """The length of the embedded guidance scale, for networks distilled on it; None for others.

        By default `time_cond_proj_dim` of the network's config.
        """
        width: int | None = getattr(self.denoiser.config, "time_cond_proj_dim", None)
        return width

    def trained_size(self) -> tuple[int, int]:
        """Return the training height and width of the network, in cells of the sample.

        By default `sample_size` of its config.
        """
        size = self.denoiser.config.sample_size
        return (size, size) if isinstance(size, int) else size

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        """Return the keyword arguments of the network other than sample and timestep.

        Called in each step, so that it sees the tensors that callbacks replaced. By default the
        prompt, as `encoder_hidden_states`.

        Args:
            tensors: the tensors of the call: those encoded before the loop, and `"latents"`.
        """
        return {"encoder_hidden_states": tensors["prompt_embeds"]}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        """Call the network and return its prediction (B or 2B, C, h, w).

        Called once in each step, or twice if `halves` is "in turn". A predicted variance follows
        the prediction along the channels.
        The default calls `denoiser` like a U-Net of diffusers, with the additional keywords
        `timestep_cond`, `cross_attention_kwargs` and `return_dict=False`, and returns the first
        value of its tuple. Override it for a network with a different `forward`.

        Args:
            sample: (B or 2B, C, h, w), scaled for `timestep`, followed by the channels that the
                task adds, such as a mask.
            timestep: a scalar.
            guidance: the result of `embed_guidance_scale`.
            inputs: the result of `denoiser_inputs`, and the additions of a `Steering`.
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
        """Check the arguments of every call, set the state of the call, and return the batch size.

        Args:
            prompts: the number of prompts; the batch size is that times `num_images_per_prompt`.
            num_images_per_prompt, generator, guidance_scale, cross_attention_kwargs, output_type:
                the arguments of the call.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        check_images_per_prompt(num_images_per_prompt)
        check_output_type(output_type, self.output_types)
        check_guidance(guidance_scale)
        attention_options(cross_attention_kwargs, self.denoiser, argument=self.attention_argument)
        self._guidance_scale = guidance_scale
        self._cross_attention_kwargs = cross_attention_kwargs
        batch_size = prompts * num_images_per_prompt
        check_generators(generator, batch_size)
        return batch_size

    def check_sample_memory(self, batch_size: int, height: int, width: int) -> None:
        """Refuse a batch that is too large for this device, unless `check_memory=False` is given.

        Args:
            height, width: the size of the sample, in its cells.

        Raises:
            ArgumentError: if the batch would take more than twice the memory of the device.
        """
        if self.call.get("check_memory", True):
            check_room(self.network_sizes(height, width), batch_size, self._execution_device)

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        """Return the networks whose memory depends on the image size, with their input sizes.

        Args:
            height, width: the size of the sample, in its cells.

        Returns:
            The network, and height and width of its input; by default the `denoiser` alone.
        """
        return [(self.denoiser, height, width)]

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        """Return the function that predicts in each step, including guidance.

        A condition such as ControlNet overrides it to append to the `steerings`.

        Args:
            tensors: the tensors of the call, read again in each step.
            extra_channels: a function that returns tensors (B or 2B, C, h, w) to append to the
                latents along the channels.
        """
        guidance = self.embed_guidance_scale(tensors["latents"])

        def predict(step: int, timestep: Tensor) -> Tensor:
            both, rows = self.predicts_both_halves, len(tensors["latents"])
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            sample = torch.cat([sample] * len(self.guided_halves)) if both else sample
            inputs = self.denoiser_inputs(tensors)
            if self.do_classifier_free_guidance and not both:
                inputs = self._prompted(inputs, rows)
            for steering in self.steerings:
                inputs.update(steering(step, sample, timestep, inputs))
            if self.added_conditions:
                # A callback may have turned guidance off, so that only one half is left.
                conditions = self.added_conditions
                further = self.for_parts(conditions, rows) if both else half_of(conditions, rows, 1)
                inputs["added_cond_kwargs"] = {**inputs.get("added_cond_kwargs", {}), **further}
            extra = [one if both else self._prompted(one, rows) for one in extra_channels()]
            seen = torch.cat([sample, *extra], dim=1) if extra else sample
            prediction = self._predict_parts((seen, inputs, guidance), timestep, rows)
            return self._for_scheduler(prediction, rows, tensors["latents"].shape[1])

        return predict

    def for_parts(self, halves: Any, rows: int) -> Any:
        """Return what conditions the parts of a step under guidance, from what is for the halves.

        Args:
            halves: tensors (2 * `rows`, ...), as `parts_of` takes them.
        """
        parts = self.guided_halves
        return halves if parts == (0, 1) else parts_of(halves, rows, 2, parts)

    def _prompted(self, value: Any, rows: int) -> Any:
        """Return the part with the prompt of tensors for all parts of a step under guidance."""
        parts = self.guided_halves
        return parts_of(value, rows, len(parts), (parts.index(1),))

    def _predict_parts(self, given: tuple[Any, ...], timestep: Tensor, rows: int) -> Tensor:
        """Return the predictions for the halves, and for the `contrast`.

        Args:
            given: the sample, further inputs and embedded guidance scale for the halves.
            rows: the number of samples of each part.
        """
        halves = self.guided_halves if self.predicts_both_halves else (1,)
        count = len(halves)
        parts, contrast = list(range(count)), self.contrast
        if contrast is not None:
            parts.append(halves.index(1))
        groups = [[part] for part in parts] if self.halves == "in turn" else [parts]
        made = []
        for left, group in zip(reversed(range(len(groups))), groups):
            is_whole = group == list(range(count))
            one = given if is_whole else parts_of(given, rows, count, group)
            sample, inputs, guidance = one
            if contrast is not None:
                contrast.rows = 0 if left else rows
            made.append(self.run_denoiser(sample, timestep, guidance, inputs))
        return made[0] if len(made) == 1 else torch.cat(made)

    def _for_scheduler(self, prediction: Tensor, rows: int, channels: int) -> Tensor:
        """Convert the network's prediction to the input of the scheduler's `step`.

        Channels after the first `channels` are a predicted variance. If the scheduler uses one, it
        gets that of the half with the prompt.

        Args:
            prediction: of the parts, each (`rows`, ...).
        """
        first = rows * self.guided_halves.index(1) if self.predicts_both_halves else 0
        prompted = slice(first, first + rows)
        mean, variance = prediction[:, :channels], prediction[prompted, channels:]
        further: tuple[Tensor, ...] = ()
        if self.contrast is not None:
            mean, degraded = mean[:-rows], mean[-rows:]
            further = (self.contrast.scale * (mean[prompted] - degraded),)
        if self.predicts_both_halves:
            mean = self.apply_guidance(mean, *further)
        elif further:
            mean = mean + further[0]
        if variance.shape[1] and _takes_variance(self.scheduler):
            return torch.cat([mean, variance], dim=1)
        return mean

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        """Return the guided prediction (B, ...) from its parts, both halves (2B, ...) by default.

        Called in each step under guidance.

        Args:
            further: (B, ...), to be added to the guided prediction; given only with a `contrast`.
        """
        return guide(prediction, self.guidance_scale, further=further)

    def embed_guidance_scale(self, latents: Tensor) -> Tensor | None:
        """Return the embedded guidance scale (B, D) for a network distilled on it; None for others.

        Called once, before the loop. D is `guidance_embedding_dim`.

        Args:
            latents: (B, C, h, w); they determine the device and dtype of the result.
        """
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
        callbacks: StepCallbacks,
        *,
        eta: float,
        generator: Generators,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
        scheduler: Any = None,
    ) -> Tensor:
        """Run the denoising loop, `autopipe.pipeline.loop.denoise`, and return the latents.

        Args:
            tensors: the tensors of the call; `"latents"` is where the loop starts.
            predict: the result of `make_predictor`.
            callbacks: the result of `step_callbacks`.
            eta, generator: for schedulers whose `step` takes them.
            keep: `(step, timestep, latents) -> latents`, applied after each step; with it a task
                restores what must not change.
            scheduler: takes the steps in place of `self.scheduler`, such as one that passes more
                arguments to its `step`.
        """
        self._show_halves(tensors)
        return denoise(
            self,
            tensors,
            predict,
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            scheduler=scheduler,
            step_options=self.prepare_extra_step_kwargs(generator, eta),
            keep=keep,
            replace=self._replace,
            **callbacks,
        )

    def prepare_extra_step_kwargs(self, generator: Generators, eta: float) -> dict[str, Any]:
        """Return those of `generator` and `eta` that the scheduler's `step` accepts."""
        return accepted_options(self.scheduler, eta=eta, generator=generator)

    def _show_halves(self, tensors: Tensors) -> None:
        """Add the `negative_halves` to `tensors`, for step callbacks."""
        for half, whole in self.negative_halves.items():
            if self.do_classifier_free_guidance:
                tensors[half] = tensors[whole].chunk(2)[0]
            else:
                tensors.setdefault(half, None)

    def _replace(self, tensors: Tensors, changes: Tensors) -> None:
        """Put the result of a step callback into `tensors`, and halves into their whole tensors.

        Raises:
            ArgumentError: if the shape of a half differs from that of the other half.
        """
        tensors.update(changes)
        for half, whole in self.negative_halves.items():
            if half in changes and self.do_classifier_free_guidance:
                tensors[whole] = join_halves(tensors[whole].chunk(2)[1], changes[half])
        if changes:
            self._show_halves(tensors)


def _takes_variance(scheduler: SchedulerMixin) -> bool:
    """Whether `scheduler` uses a variance that the network predicts."""
    # A config may hold the option for another scheduler, so the class must have it too.
    declared = "variance_type" in type(scheduler).init_parameters()
    return declared and scheduler.config["variance_type"] in LEARNED_VARIANCES
