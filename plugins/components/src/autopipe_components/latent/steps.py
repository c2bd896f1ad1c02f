"""Defines the hooks of families that denoise latents, and the steps of their calls.

The hooks extend those of `guided`, which apply to every kind of network. The steps read the
arguments of a call from its record, `self.call`; for arguments that not every family or task has,
they use its `get`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput
from ..steps.callbacks import StepCallbacks, step_callbacks
from ..steps.checks import (
    check_components,
    check_guidance,
    check_network_channels,
    check_number,
    check_steps,
)
from ..steps.codec import NoCodec, in_dtype_of
from ..steps.given import check_image_prompts
from ..steps.guidance import guide
from ..steps.timesteps import Schedule, set_schedule
from .sizes import SizedLatents

_Result = TypeVar("_Result")


class LatentPipeline(SizedLatents, Generic[_Result]):
    """The base class of families that denoise the latents of an autoencoder.

    A family implements the hooks that raise `NotImplementedError` here, and overrides others if
    their defaults are unsuitable. The type parameter is the return type of a call: the family's
    record, or a tuple of its values. B is the batch size: the number of prompts times
    `num_images_per_prompt`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")

    output_class: ClassVar[type[Any]]
    """The record that a call returns: a dataclass whose first field is `images`. Required."""

    starts_pure: ClassVar[bool] = True
    """Whether inpainting with strength 1 starts from pure noise. False adds noise of the first
    timestep to the image then too, which differs for custom schedules."""

    encodes_each: ClassVar[bool] = True
    """Whether image to image with a list of generators encodes an image once for each. False
    encodes it once, with the first."""

    keeps_latents: ClassVar[bool] = False
    """Whether the argument `latents` of inpainting is only where the loop starts, and other noise
    is added to what is kept. By default it is that noise."""

    _guidance_rescale: float = 0.0
    _clip_skip: int | None = None

    # State of a call, which step callbacks may change

    @property
    def guidance_rescale(self) -> float:
        """The degree, in [0, 1], to which the conditional prediction's deviation is restored."""
        return self._guidance_rescale

    @property
    def clip_skip(self) -> int | None:
        """The number of last layers of the text encoder to skip."""
        return self._clip_skip

    # Hooks of a family, in the order of a call

    def check_prompts(self) -> int:
        """Check the prompts of the call and return their number. Required.

        This is the first hook of a call; guidance is not yet known.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        raise NotImplementedError

    def check_conditioning(self) -> None:
        """Check arguments that depend on guidance, and those that only this family has.

        Called once the guidance scale is set, before any network runs. The default does nothing.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """

    @property
    def denoiser_in_channels(self) -> int:
        """The number of input channels of the network, including those for mask and masked image.

        By default `in_channels` of the network's config.
        """
        channels: int = self.denoiser.config.in_channels
        return channels

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        """Encode prompts, sizes and further conditions as tensors. Required.

        Called once, after the schedule is set and before the latents are prepared. The result must
        contain `"prompt_embeds"`, unless `latents_dtype` is overridden. The first axis of tensors
        is the whole batch: B, or 2B under guidance, with the negative half first.

        Args:
            height, width: the image size in pixels.
        """
        raise NotImplementedError

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        """Return the dtype of the latents; by default that of `"prompt_embeds"`.

        Args:
            tensors: the result of `encode_conditioning`, in the dtype of the network.
        """
        dtype: torch.dtype = tensors["prompt_embeds"].dtype
        return dtype

    @property
    def adds_noise(self) -> bool:
        """Whether noise is added to the initial image; True by default."""
        return True

    def trim_end(self, schedule: Schedule) -> Schedule:
        """Return the part of `schedule` that this call runs; by default all of it.

        Called after `make_schedule` and, if the task starts from an image, `trim_start`.
        """
        return schedule

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
        """Return the values of `output_class`; by default the images alone.

        Called last, unless `output_type` is `"latent"`. A family applies safety checkers and
        watermarks here.

        Args:
            pixels: decoded images (B, 3, H, W), approximately in [-1, 1].
            dtype: the dtype of the latents.
        """
        return (self.image_processor.postprocess(pixels, self.call.output_type),)

    # Steps of a call, in their order

    def prepare_conditioning(self, height: int, width: int) -> Tensors:
        """Return the result of `encode_conditioning` in the dtype of the network."""
        tensors: Tensors = in_dtype_of(self.denoiser, self.encode_conditioning(height, width))
        return tensors

    def begin_call(self) -> int:
        """Check the arguments of all tasks, set the state of the call, and return the batch size.

        This is the first step of each task. A condition overrides it to run before all other
        checks; it may replace `self.call`, for example to set a size.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        check_components(self, self.required_components)
        batch_size = self.prepare_batch(self.check_prompts())
        self.check_conditioning()
        return batch_size

    def prepare_batch(self, prompts: int) -> int:
        """Check the arguments of latent families, set the state of the call, return the batch size.

        Called by `begin_call` once the number of prompts is known, before `check_conditioning`. A
        condition overrides it to prepare what depends on the batch size.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        call = self.call
        check_image_prompts(self, call)
        check_number("eta", call.get("eta", 0.0))
        rescale = call.get("guidance_rescale", 0.0)
        guidance_scale = call.get("guidance_scale", 1.0)
        check_guidance(guidance_scale, rescale)
        self._guidance_rescale = rescale
        self._clip_skip = call.get("clip_skip")
        batch_size = self.set_call_state(
            prompts,
            num_images_per_prompt=call.get("num_images_per_prompt", 1),
            generator=call.get("generator"),
            guidance_scale=guidance_scale,
            cross_attention_kwargs=self.attention_given(),
            output_type=call.output_type,
        )
        if call.output_type != "latent" and isinstance(self.codec, NoCodec):
            raise self.codec.absent()
        return batch_size

    def attention_given(self) -> dict[str, Any] | None:
        """Return the argument of the call that `attention_argument` names."""
        given: dict[str, Any] | None = self.call.get("cross_attention_kwargs")
        return given

    def check_steps(self) -> None:
        """Check the number of steps, or the timesteps or sigmas given instead.

        Raises:
            ArgumentError, ArgumentTypeError: if they are invalid.
        """
        call = self.call
        check_steps(call.num_inference_steps, call.get("timesteps"), call.get("sigmas"))

    def check_denoiser(self) -> None:
        """Check that the network takes the channels that the task passes to it.

        Raises:
            ArgumentError: if `denoiser_in_channels` doesn't match the task.
        """
        check_network_channels(self.denoiser_in_channels, self.codec.channels)

    def check_callbacks(self) -> StepCallbacks:
        """Check the callbacks of the call, and return them in the form that `run_loop` takes.

        Raises:
            ArgumentError, ArgumentTypeError: if a callback is invalid.
        """
        call = self.call
        return step_callbacks(
            self,
            call.get("callback_on_step_end"),
            call.get("callback_on_step_end_tensor_inputs"),
            call.get("callback"),
            call.get("callback_steps"),
        )

    def make_schedule(self) -> Schedule:
        """Set the scheduler's timesteps as the call requests, and return the schedule.

        Called once all arguments are checked and `image_size` is known.

        Raises:
            SchedulerError: if the scheduler doesn't support them.
        """
        call = self.call
        return set_schedule(
            self.scheduler,
            num_inference_steps=call.num_inference_steps,
            device=self._execution_device,
            timesteps=call.get("timesteps"),
            sigmas=call.get("sigmas"),
        )

    def trim_start(self, schedule: Schedule) -> Schedule:
        """Return the part of `schedule` to run from an image; by default determined by `strength`.

        Called by tasks that start from an image, after `make_schedule`.

        Raises:
            ArgumentError: if no step remains.
        """
        device = self._execution_device
        return Schedule(*self.get_timesteps(schedule.steps, self.call.strength, device))

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        """Convert the initial image to pixels (N, 3, H, W) in [-1, 1]; latents stay unchanged."""
        return self.image_processor.preprocess(image)

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        scale, rescale = self.guidance_scale, self.guidance_rescale
        return guide(prediction, scale, rescale=rescale, further=further)

    def denoise_latents(
        self,
        tensors: Tensors,
        schedule: Schedule,
        callbacks: StepCallbacks,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Denoise `tensors["latents"]` (B, C, h, w) and return the result.

        Args:
            extra_channels: see `make_predictor`.
            keep: see `run_loop`.
        """
        return self.run_loop(
            tensors,
            self.make_predictor(tensors, extra_channels),
            schedule,
            callbacks,
            eta=self.call.get("eta", 0.0),
            generator=self.call.get("generator"),
            keep=keep,
        )

    def make_output(
        self,
        latents: Tensor,
        on_pixels: Callable[[Tensor], Tensor] | None = None,
        on_images: Callable[[Any], Any] | None = None,
    ) -> _Result:
        """Return the output of the call for `latents`, as `output_type` and `return_dict` specify.

        Args:
            on_pixels: applied to the decoded pixels in [-1, 1], before `output_values`.
            on_images: applied to the finished images.
        """
        if self.call.output_type == "latent":
            values: tuple[Any, ...] = (latents, *[None] * (len(fields(self.output_class)) - 1))
        else:
            pixels = self.codec.decode(self.unpack(latents))
            pixels = pixels if on_pixels is None else on_pixels(pixels)
            values = self.output_values(pixels, latents.dtype)
        if on_images is not None:
            values = (on_images(values[0]), *values[1:])
        result = self.output_class(*values) if self.call.get("return_dict", True) else values
        return cast(_Result, result)
