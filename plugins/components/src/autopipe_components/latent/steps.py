"""What families share that denoise an autoencoder's latents: their hooks, and the steps of a call.

These steps come on top of those that `guided` has for any network. The arguments of a call are
read from its record, `self.call`; with `get` those that some families or tasks lack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput
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
from ..steps.reports import Reports, step_reports
from ..steps.timesteps import Schedule, set_schedule
from .methods import LatentMethods


class LatentPipeline(LatentMethods):
    """The steps of a call that latent families share; see the families for their components.

    What a family must say of itself raises `NotImplementedError` here. All else is as most
    families have it.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")

    output_class: ClassVar[type[Any]]
    """The record that a call returns: a dataclass whose first field is `images`."""

    size_multiple: ClassVar[int | None] = 8
    """What heights and widths are multiples of, in pixels; None for the autoencoder's factor."""

    ignores_partial_size: ClassVar[bool] = False
    """Whether a height without a width, or a width without a height, doesn't count."""

    _guidance_rescale: float = 0.0
    _clip_skip: int | None = None

    # What a call set; a callback may change it

    @property
    def guidance_rescale(self) -> float:
        """How far guidance keeps the deviation of the conditional prediction, in [0, 1]."""
        return self._guidance_rescale

    @property
    def clip_skip(self) -> int | None:
        """How many last layers of the text encoder are left out."""
        return self._clip_skip

    # What a family says of itself

    @property
    def denoiser_in_channels(self) -> int:
        """How many channels the network takes, those of mask and masked image among them."""
        channels: int = self.denoiser.config.in_channels
        return channels

    def check_prompts(self) -> int:
        """Check what is to be drawn, before anything is known of guidance; how many prompts?

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        raise NotImplementedError

    def check_conditioning(self) -> None:
        """Check what depends on guidance, and all that the family takes besides prompts.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        """What the network is told, as tensors; under guidance the half without prompt is first.

        Args:
            height, width: of the picture, in pixels.
        """
        raise NotImplementedError

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        """The dtype of latents, where `encode_conditioning` made `tensors`."""
        dtype: torch.dtype = tensors["prompt_embeds"].dtype
        return dtype

    @property
    def adds_noise(self) -> bool:
        """Whether noise is put on the image to start from."""
        return True

    def trim_end(self, schedule: Schedule) -> Schedule:
        """The part of `schedule` that this call walks."""
        return schedule

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
        """The values of `output_class` for decoded `pixels` (B, 3, H, W) in [-1, 1].

        Args:
            dtype: of the latents.
        """
        return (self.image_processor.postprocess(pixels, self.call.output_type),)

    # Sizes

    def default_size(self) -> tuple[int, int]:
        """Height and width in pixels that the network was trained for."""
        height, width = self.trained_size()
        return height * self.vae_scale_factor, width * self.vae_scale_factor

    def resolve_size(self) -> tuple[int, int]:
        """Height and width in pixels that a call asks for, or what the network was trained for.

        Raises:
            ArgumentError, ArgumentTypeError: the family can't make that size.
        """
        height, width = self.call.height, self.call.width
        if not (height and width):
            default = self.default_size()
            if self.ignores_partial_size:
                height, width = default
            height, width = height or default[0], width or default[1]
        check_size(height, width, self.size_multiple or self.vae_scale_factor)
        return height, width

    def prepare_conditioning(self, height: int, width: int) -> Tensors:
        """As `encode_conditioning`, in the dtype of the network."""
        tensors: Tensors = in_dtype_of(self.denoiser, self.encode_conditioning(height, width))
        return tensors

    # Steps of a call, in their order

    def begin_call(self) -> int:
        """Check what every task takes, set the state of the call, and return the batch size.

        The batch is prompts times `num_images_per_prompt`. A condition may put another record in
        the place of `self.call` here, such as one with a size.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        check_components(self, self.required_components)
        batch_size = self.prepare_batch(self.check_prompts())
        self.check_conditioning()
        return batch_size

    def prepare_batch(self, prompts: int) -> int:
        """`set_call_state`, with what the latent families take besides."""
        call = self.call
        image_prompts = {
            "ip_adapter_image": call.get("ip_adapter_image"),
            "ip_adapter_image_embeds": call.get("ip_adapter_image_embeds"),
        }
        for name, given in image_prompts.items():
            if given is not None:
                raise ArgumentError(
                    f"{name} is given, and IP-Adapter images are not supported yet; leave it out"
                )
        check_number("eta", call.get("eta", 0.0))
        rescale = call.get("guidance_rescale", 0.0)
        check_guidance(call.guidance_scale, rescale)
        self._guidance_rescale = rescale
        self._clip_skip = call.get("clip_skip")
        batch_size = self.set_call_state(
            prompts,
            num_images_per_prompt=call.num_images_per_prompt,
            generator=call.generator,
            guidance_scale=call.guidance_scale,
            cross_attention_kwargs=call.get("cross_attention_kwargs"),
            output_type=call.output_type,
        )
        if call.output_type != "latent" and isinstance(self.codec, NoCodec):
            raise self.codec.absent()
        return batch_size

    def check_steps(self) -> None:
        """Refuse a number of steps, or steps of the caller's own, that can't be made."""
        call = self.call
        check_steps(call.num_inference_steps, call.get("timesteps"), call.get("sigmas"))

    def check_denoiser(self) -> None:
        """Refuse a network that takes something else than what the task gives it.

        Raises:
            ArgumentError: it does.
        """
        check_network_channels(self.denoiser_in_channels, self.codec.channels)

    def check_callbacks(self) -> Reports:
        """The callbacks, checked."""
        call = self.call
        return step_reports(
            self,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
            call.get("callback"),
            call.get("callback_steps"),
        )

    def make_schedule(self) -> Schedule:
        """All the steps that the call asks for."""
        call = self.call
        return set_schedule(
            self.scheduler,
            num_inference_steps=call.num_inference_steps,
            device=self._execution_device,
            timesteps=call.get("timesteps"),
            sigmas=call.get("sigmas"),
        )

    def trim_start(self, schedule: Schedule) -> Schedule:
        """The part of `schedule` that is left to a task that starts from an image."""
        device = self._execution_device
        return Schedule(*self.get_timesteps(schedule.steps, self.call.strength, device))

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        """The image to start from as the autoencoder takes it, or latents as they are."""
        return self.image_processor.preprocess(image)

    def apply_guidance(self, prediction: Tensor) -> Tensor:
        return guide(prediction, self.guidance_scale, rescale=self.guidance_rescale)

    def denoise_latents(
        self,
        tensors: Tensors,
        schedule: Schedule,
        reports: Reports,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Denoise `tensors["latents"]` along `schedule`.

        Args:
            extra_channels: as `make_predictor` takes them.
            keep: as the core's loop takes it.
        """
        return self.run_loop(
            tensors,
            self.make_predictor(tensors, extra_channels),
            schedule,
            reports,
            eta=self.call.get("eta", 0.0),
            generator=self.call.generator,
            keep=keep,
        )

    def make_output(
        self,
        latents: Tensor,
        on_pixels: Callable[[Tensor], Tensor] | None = None,
        on_images: Callable[[Any], Any] | None = None,
    ) -> Any:
        """What the call returns: the images of `latents` in the form asked for.

        Args:
            on_pixels: applied to the decoded pixels in [-1, 1], before they are checked.
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
        return self.output_class(*values) if self.call.return_dict else values
