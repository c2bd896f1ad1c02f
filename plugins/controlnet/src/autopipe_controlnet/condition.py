"""The condition: the steps that a ControlNet adds to the pipelines of a family."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.guided import Predict
from autopipe_components.images.kinds import ImageInput
from autopipe_components.images.masks import Box, at_size_of
from autopipe_components.steps.checks import (
    check_components,
    check_image,
    check_mask_crop,
    check_output_type,
    check_size,
)
from autopipe_components.steps.codec import in_dtype_of
from autopipe_components.steps.guidance import double, half_of

from .control import (
    Control,
    check_fits,
    check_one_scale,
    images_for,
    joined,
    make_control,
    nets_of,
    prepare_images,
)
from .methods import ControlMethods
from .multicontrolnet import MultiControlNetModel

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Request:
    """The arguments of the caller, before the batch size is known."""

    images: list[Any]
    control: Control
    crop: Box | None


class ControlNetCondition(ControlMethods[_Result]):
    """A mix-in that comes before a family's pipeline in the bases of a class and adds ControlNet.

    It overrides a few steps of the family: first it checks the arguments for ControlNets and
    determines the image size; when the batch size is known, it prepares the control images; and in
    each step it passes the features of the ControlNets to the U-Net.
    """

    size_multiple = None

    _control_name: ClassVar[str] = "control_image"
    """The name of the prepared control images for step callbacks."""

    _pooled_guesses: ClassVar[bool] = True
    """Whether a ControlNet with `global_pool_conditions` is always used in guess mode."""

    _request: _Request
    _images: list[Tensor]

    def _take_controlnet(self, controlnet: Any) -> None:
        """Register `controlnet`, of which a list becomes a `MultiControlNetModel`."""
        self.register_modules(controlnet=joined(controlnet))
        if self.unet is not None and self.vae is not None and self.controlnet is not None:
            check_fits(self.controlnet, self.unet, self.codec.channels)

    # Before the family's steps

    def begin_call(self) -> int:
        check_components(self, self.required_components)
        check_output_type(self.call.output_type, self.output_types)
        self._steer()
        return super().begin_call()

    def _given_images(self) -> tuple[Any, Any]:
        """Return the given control image, and the image that determines the size.

        Raises:
            ArgumentError: if one of them is not valid.
            ArgumentTypeError: if one of them has the wrong type.
        """
        call = self.call
        check_image(call.image)
        crop = call.get("padding_mask_crop")
        check_mask_crop(crop, call.image, call.get("mask_image"), call.output_type)
        return call.control_image, call.image

    def _steer(self) -> None:
        """Check the arguments for ControlNets, and set the height and width.

        They are rounded down to the VAE's factor, and default to those of the image.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
        """
        call = self.call
        control_image, like = self._given_images()
        check_fits(self.controlnet, self.unet, self.codec.channels)
        images = images_for(self.controlnet, control_image)
        nets = nets_of(self.controlnet)
        # The first of several decides.
        guess = call.guess_mode or (self._pooled_guesses and nets[0].config.global_pool_conditions)
        check_one_scale(self.controlnet, call.controlnet_conditioning_scale)
        control = make_control(
            nets,
            call.controlnet_conditioning_scale,
            call.control_guidance_start,
            call.control_guidance_end,
            bool(guess),
        )
        height, width = self._size_of(images[0] if like is None else like, call.height, call.width)
        crop, padding = None, call.get("padding_mask_crop")
        if padding is not None:
            mask: Any = call.get("mask_image")
            mask = at_size_of(call.image, mask)
            crop = self.mask_processor.get_crop_region(mask, width, height, padding)
        self._request = _Request(images, control, crop)
        self.call = call.replace(height=height, width=width)

    def _size_of(self, image: Any, height: int | None, width: int | None) -> tuple[int, int]:
        own = self.vae_scale_factor
        check_size(own if height is None else height, own if width is None else width, 1)
        self.check_image_memory(1, height or own, width or own)
        return self.size_in_pixels(self.image_processor.preprocess(image, height, width))

    # Among the family's steps

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        return self.image_processor.preprocess(image, self.call.height, self.call.width)

    def prepare_batch(self, prompts: int) -> int:
        batch_size = super().prepare_batch(prompts)
        call, request = self.call, self._request
        self.check_image_memory(batch_size, call.height, call.width)
        images = prepare_images(
            nets_of(self.controlnet),
            request.images,
            processor=self.control_image_processor,
            size=(call.height, call.width),
            crop=request.crop,
            prompts=prompts,
            num_images_per_prompt=call.num_images_per_prompt,
        )
        like = {"device": self._execution_device, "dtype": self.controlnet.dtype}
        images = [image.to(**like) for image in images]
        if self.do_classifier_free_guidance and not request.control.guess:
            images = [double(image) for image in images]
        self._images = images
        return batch_size

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        several = isinstance(self.controlnet, MultiControlNetModel)
        tensors[self._control_name] = self._images if several else self._images[0]
        self.steerings = (*self.steerings, functools.partial(self._residuals, tensors))
        return super().make_predictor(tensors, extra_channels)

    def _residuals(
        self,
        tensors: Tensors,
        step: int,
        sample: Tensor,
        timestep: Tensor,
        inputs: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the features that active ControlNets add to the U-Net in this step, if any."""
        control = self._request.control
        scales = control.scales_at(step, self._steps_in_all)
        if not any(scales):
            return {}
        halved = control.guess and self.predicts_both_halves
        if halved:
            sample, inputs = half_of((sample, inputs), len(sample) // 2, 1)
        images = tensors[self._control_name]
        several = isinstance(self.controlnet, MultiControlNetModel)
        # After a callback turned guidance off, the images are still doubled.
        pictures = [one[-len(sample) :] for one in (images if several else [images])]
        sample, inputs = in_dtype_of(self.controlnet, (sample, inputs))
        down, mid = self.controlnet(
            sample,
            timestep,
            controlnet_cond=pictures if several else pictures[0],
            conditioning_scale=scales if several else scales[0],
            guess_mode=control.guess,
            return_dict=False,
            **inputs,
        )
        down, mid = in_dtype_of(self.unet, (down, mid))
        if halved:
            down, mid = [_after_zeros(one) for one in down], _after_zeros(mid)
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}

    @property
    def _steps_in_all(self) -> int:
        """The number of timesteps to which the start and end of a ControlNet refer."""
        return self.num_timesteps


class ControlNetAlone(ControlNetCondition[_Result]):
    """A ControlNet for a task without another image: the control image is its `image`."""

    _control_name: ClassVar[str] = "image"

    def _given_images(self) -> tuple[Any, Any]:
        image, control_image = self.call.image, self.call.control_image
        if image is not None and control_image is not None:
            raise ArgumentError(
                "got both image and control_image; in text to image they are one, so give one of "
                "them"
            )
        return control_image if image is None else image, None

    prepare_image = ControlMethods.prepare_control_image


def _after_zeros(features: Tensor) -> Tensor:
    """Return features for a doubled batch, with zeros for the negative half."""
    return torch.cat([torch.zeros_like(features), features])
