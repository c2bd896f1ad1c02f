"""The hooks of families that denoise an autoencoder's latents, and the steps of their calls.

They add to those of `guided`, which every kind of network has. The steps read the arguments of a
call from its record, `self.call`; with `get` those that not every family or task has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput
from ..steps.callbacks import StepCallbacks, step_callbacks
from ..steps.checks import (
    check_components,
    check_guidance,
    check_network_channels,
    check_number,
    check_size,
    check_steps,
)
from ..steps.codec import NoCodec, in_dtype_of
from ..steps.guidance import guide
from ..steps.timesteps import Schedule, set_schedule
from .methods import LatentMethods

_Result = TypeVar("_Result")


class LatentPipeline(LatentMethods, Generic[_Result]):
    """The base of families that denoise the latents of an autoencoder.

    A family implements the hooks that raise `NotImplementedError` here, and overrides others where
    the default doesn't fit. The type parameter is what a call returns: the family's record, or a
    tuple of its values. B is the batch size: the number of prompts times `num_images_per_prompt`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")

    output_class: ClassVar[type[Any]]
    """The record that a call returns: a dataclass whose first field is `images`. Required."""

    size_multiple: ClassVar[int | None] = 8
    """The number of pixels that height and width must be multiples of; None for the factor of the
    autoencoder."""

    ignores_partial_size: ClassVar[bool] = False
    """Whether a height without a width, and a width without a height, is ignored."""

    _guidance_rescale: float = 0.0
    _clip_skip: int | None = None

    # State of a call, which step callbacks may change

    @property
    def guidance_rescale(self) -> float:
        """How far guidance keeps the deviation of the conditional prediction, from 0 to 1."""
        return self._guidance_rescale

    @property
    def clip_skip(self) -> int | None:
        """The number of last layers of the text encoder to skip."""
        return self._clip_skip

    # Hooks of a family, in the order of a call

    def check_prompts(self) -> int:
        """Check the prompts of the call and return their number. Required.

        Called first in a call, when guidance is not yet known.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        raise NotImplementedError

    def check_conditioning(self) -> None:
        """Check what depends on guidance, and arguments that only this family has.

        Called once the guidance scale is set, before any network runs. By default it checks
        nothing.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """

    @property
    def denoiser_in_channels(self) -> int:
        """The input channels of the network, including those for mask and masked image.

        By default `in_channels` of the network's config.
        """
        channels: int = self.denoiser.config.in_channels
        return channels

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        """Encode prompts, sizes and further conditions as tensors. Required.

        Called once, after the schedule is made and before the latents are. The result holds
        `"prompt_embeds"`, unless `latents_dtype` is overridden. Tensors have the whole batch in
        their first axis: B, or under guidance 2B with the negative half first.

        Args:
            height, width: of the image, in pixels.
        """
        raise NotImplementedError

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        """The dtype of the latents; by default that of `"prompt_embeds"`.

        Args:
            tensors: what `encode_conditioning` returned, in the dtype of the network.
        """
        dtype: torch.dtype = tensors["prompt_embeds"].dtype
        return dtype

    @property
    def adds_noise(self) -> bool:
        """Whether noise is added to the image to start from; by default it is."""
        return True

    def trim_end(self, schedule: Schedule) -> Schedule:
        """The part of `schedule` that this call runs; by default all of it.

        Called after `make_schedule` and, where a task starts from an image, `trim_start`.
        """
        return schedule

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
        """The values of `output_class`; by default the images alone.

        Called last, unless `output_type` is `"latent"`. A family applies safety checkers and
        watermarks here.

        Args:
            pixels: decoded images (B, 3, H, W), about in [-1, 1].
            dtype: that of the latents.
        """
        return (self.image_processor.postprocess(pixels, self.call.output_type),)

    # Sizes

    def default_size(self) -> tuple[int, int]:
        """Height and width in pixels of a call that gives none: those of the training."""
        height, width = self.trained_size()
        return height * self.vae_scale_factor, width * self.vae_scale_factor

    def resolve_size(self) -> tuple[int, int]:
        """Height and width in pixels: the arguments of the call, or else `default_size`.

        Raises:
            ArgumentError, ArgumentTypeError: they are not positive multiples of `size_multiple`.
        """
        height, width = self.call.get("height"), self.call.get("width")
        if not (height and width):
            default = self.default_size()
            if self.ignores_partial_size:
                height, width = default
            height, width = height or default[0], width or default[1]
        check_size(height, width, self.size_multiple or self.vae_scale_factor)
        return height, width

    def prepare_conditioning(self, height: int, width: int) -> Tensors:
        """What `encode_conditioning` returns, in the dtype of the network."""
        tensors: Tensors = in_dtype_of(self.denoiser, self.encode_conditioning(height, width))
        return tensors

    # Steps of a call, in their order

    def begin_call(self) -> int:
        """Check the arguments of every task, set the state of the call, return the batch size.

        The first step of each task. A condition overrides it for what comes before all other
        checks; it may replace `self.call`, to set a size for example.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
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
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        call = self.call
        image_prompts = {
            "ip_adapter_image": call.get("ip_adapter_image"),
            "ip_adapter_image_embeds": call.get("ip_adapter_image_embeds"),
        }
        for name, given in image_prompts.items():
            if given is not None:
                raise ArgumentError(
                    f"{name} is given, but IP-Adapter images are not supported yet; leave it out"
                )
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
            cross_attention_kwargs=call.get("cross_attention_kwargs"),
            output_type=call.output_type,
        )
        if call.output_type != "latent" and isinstance(self.codec, NoCodec):
            raise self.codec.absent()
        return batch_size

    def check_steps(self) -> None:
        """Check the number of steps, or the timesteps or sigmas given instead.

        Raises:
            ArgumentError, ArgumentTypeError: they can't be used.
        """
        call = self.call
        check_steps(call.num_inference_steps, call.get("timesteps"), call.get("sigmas"))

    def check_denoiser(self) -> None:
        """Check that the network takes what the task gives it.

        Raises:
            ArgumentError: `denoiser_in_channels` doesn't fit the task.
        """
        check_network_channels(self.denoiser_in_channels, self.codec.channels)

    def check_callbacks(self) -> StepCallbacks:
        """Check the callbacks of the call, and return them as `run_loop` takes them.

        Raises:
            ArgumentError, ArgumentTypeError: a callback can't be used.
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
        """Set the timesteps of the scheduler that the call asks for, and return them.

        Called once all arguments are checked.

        Raises:
            SchedulerError: the scheduler doesn't support them.
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
        """The part of `schedule` that a start from an image needs; by default that of `strength`.

        Called by tasks that start from an image, after `make_schedule`.

        Raises:
            ArgumentError: no step remains.
        """
        device = self._execution_device
        return Schedule(*self.get_timesteps(schedule.steps, self.call.strength, device))

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        """The image to start from as pixels (N, 3, H, W) in [-1, 1]; latents stay as they are."""
        return self.image_processor.preprocess(image)

    def apply_guidance(self, prediction: Tensor) -> Tensor:
        return guide(prediction, self.guidance_scale, rescale=self.guidance_rescale)

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
        """What the call returns: the images of `latents`, as `output_type` and `return_dict` say.

        Args:
            on_pixels: applied to the decoded pixels in [-1, 1], before `output_values`.
            on_images: applied to the finished images.
        """
        if self.call.output_type == "latent":
            values: tuple[Any, ...] = (latents, *[None] * (len(fields(self.output_class)) - 1))
        else:
            pixels = self.codec.decode(latents)
            pixels = pixels if on_pixels is None else on_pixels(pixels)
            values = self.output_values(pixels, latents.dtype)
        if on_images is not None:
            values = (on_images(values[0]), *values[1:])
        result = self.output_class(*values) if self.call.get("return_dict", True) else values
        return cast(_Result, result)
