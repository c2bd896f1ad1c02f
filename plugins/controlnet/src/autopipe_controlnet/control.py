"""Checks and converts the arguments of a call for its ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.kinds import ImageInput
from autopipe_components.images.masks import Box
from autopipe_components.networks.unet_layout import per_level
from autopipe_components.several import numbers_for
from autopipe_components.steps.checks import check_image

from .controlnet import ControlNetModel
from .multicontrolnet import MultiControlNetModel

Numbers: TypeAlias = float | Sequence[float]
"""One number for all ControlNets, or one for each."""

ControlImage: TypeAlias = (
    ImageInput | list[list[Image.Image]] | list[list[np.ndarray]] | list[list[Tensor]]
)
"""A control image, or several; see `images_for`."""

_WIDTHS = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    1280: "the SDXL refiner",
    2048: "SDXL",
}
"""The family whose prompts have this width, for messages."""


@dataclass(frozen=True)
class Control:
    """The strength of each ControlNet, and the steps in which it is active.

    Attributes:
        scales: the factor of each ControlNet.
        starts, ends: the part of the steps, in [0, 1], in which each ControlNet is active.
        guess: whether the negative half is predicted without ControlNet.
    """

    scales: tuple[float, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]
    guess: bool

    def scales_at(self, step: int, steps: int) -> list[float]:
        """Return the factors in `step` of `steps`.

        A factor is 0 unless the whole step is between its start and its end.
        """
        return [
            scale if start <= step / steps and (step + 1) / steps <= end else 0.0
            for scale, start, end in zip(self.scales, self.starts, self.ends)
        ]


def check_one_scale(controlnet: Any, scale: Numbers) -> None:
    """Refuse a list of scales for a single ControlNet.

    Raises:
        ArgumentTypeError: if `scale` is a list and `controlnet` is a single network.
    """
    if isinstance(scale, (list, tuple)) and not isinstance(controlnet, MultiControlNetModel):
        raise ArgumentTypeError(
            "controlnet_conditioning_scale is a list, which is for several ControlNets; give a "
            "number"
        )


def make_control(
    nets: Sequence[ControlNetModel], scale: Numbers, start: Numbers, end: Numbers, guess: bool
) -> Control:
    """Check the arguments for the strength and the active steps.

    Raises:
        ArgumentError: if an argument is not valid.
        ArgumentTypeError: if an argument has the wrong type.
    """
    control = Control(
        scales=numbers_for("controlnet_conditioning_scale", scale, len(nets), "ControlNets"),
        starts=numbers_for("control_guidance_start", start, len(nets), "ControlNets"),
        ends=numbers_for("control_guidance_end", end, len(nets), "ControlNets"),
        guess=guess,
    )
    for first, last in zip(control.starts, control.ends):
        if not 0 <= first < last <= 1:
            raise ArgumentError(
                f"control_guidance_start is {first} and control_guidance_end {last}; give parts "
                f"of the steps, from 0 to 1, and the start before the end"
            )
    return control


def nets_of(controlnet: Any) -> list[ControlNetModel]:
    """Return the networks of a ControlNet, which may be several."""
    return controlnet.parts if isinstance(controlnet, MultiControlNetModel) else [controlnet]


def joined(controlnet: Any) -> Any:
    """Return `controlnet`, or a `MultiControlNetModel` for a list."""
    if isinstance(controlnet, (list, tuple)):
        return MultiControlNetModel(controlnet)
    return controlnet


def check_fits(controlnet: Any, unet: Any, channels: int) -> None:
    """Check that ControlNets fit the U-Net.

    Args:
        channels: the number of latent channels.

    Raises:
        ArgumentTypeError: if `controlnet` is not a ControlNet.
        ArgumentError: if a ControlNet was trained for another kind of U-Net; the message says what
            differs.
    """
    for number, net in enumerate(nets_of(controlnet)):
        name = MultiControlNetModel.part_name("controlnet", number)
        if not isinstance(net, ControlNetModel):
            raise ArgumentTypeError(
                f"{name} must be a ControlNetModel, a list of them, or a MultiControlNetModel, not "
                f"{type(net).__name__}"
            )
        levels = len(unet.config.block_out_channels)
        for key in ("cross_attention_dim", "block_out_channels", "layers_per_block"):
            own, wanted = (_levels(one.config[key], key, levels) for one in (net, unet))
            if own != wanted:
                raise ArgumentError(
                    f"{name} is for another kind of checkpoint: its {key} is "
                    f"{_described(net.config[key])}, but that of the U-Net is "
                    f"{_described(unet.config[key])}; give a ControlNet that was "
                    f"trained for it"
                )
        if net.config.addition_embed_type not in (None, unet.config.addition_embed_type):
            raise ArgumentError(
                f"{name} needs a U-Net with addition_embed_type "
                f"{shown(net.config.addition_embed_type)}, such as that of SDXL, not "
                f"{shown(unet.config.addition_embed_type)}; give a ControlNet that was "
                "trained for it"
            )
        if net.config.in_channels != channels:
            raise ArgumentError(
                f"{name} takes {net.config.in_channels} channels, but the latents have {channels}; "
                f"give a ControlNet that was trained for them"
            )


def _levels(value: Any, key: str, levels: int) -> tuple[Any, ...]:
    several = isinstance(value, (list, tuple))
    return tuple(value) if several else per_level(key, value, levels)


def _described(value: Any) -> str:
    family = _WIDTHS.get(value) if isinstance(value, int) else None
    return f"{value} ({family})" if family else str(value)


def images_for(controlnet: Any, image: Any) -> list[Any]:
    """Return the control images of each network: one, or several for the prompts of a batch.

    For several networks, `image` is a list with an entry for each; or a list with an entry for each
    prompt, which is a list with an image for each network.

    Raises:
        ArgumentError: if an image is missing, or the list has the wrong length.
        ArgumentTypeError: if `image` has the wrong type.
    """
    if image is None:
        raise ArgumentTypeError(
            "control_image is missing; give a PIL image, an array, a tensor, or a list"
        )
    count = len(nets_of(controlnet))
    if not isinstance(controlnet, MultiControlNetModel):
        images = [image]
    elif not isinstance(image, (list, tuple)):
        raise ArgumentTypeError(
            f"the control image is a {type(image).__name__} for a MultiControlNetModel; give a "
            f"list with an image for each of its {count} networks"
        )
    else:
        images = _by_network(image)
        if len(images) != count:
            raise ArgumentError(
                f"got control images for {len(images)} ControlNets, and there are {count}; give a "
                f"list with one for each, or such a list for each prompt"
            )
    for one in images:
        check_image(one, "control_image")
    return images


def _by_network(images: Sequence[Any]) -> list[Any]:
    """Return an entry for each network, from such a list or from lists for each prompt."""
    if not images or not all(isinstance(one, (list, tuple)) for one in images):
        return list(images)
    if len({len(one) for one in images}) > 1:
        raise ArgumentError(
            f"the control images of the prompts are {[len(one) for one in images]}; give one for "
            f"each ControlNet to every prompt"
        )
    return [list(one) for one in zip(*images)]


def prepare_images(
    nets: Sequence[ControlNetModel],
    images: Sequence[Any],
    *,
    processor: VaeImageProcessor,
    size: tuple[int, int],
    crop: Box | None,
    prompts: int,
    num_images_per_prompt: int,
) -> list[Tensor]:
    """Return for each ControlNet a tensor (B, C, height, width) in [0, 1], float32.

    Args:
        images: one entry for each ControlNet, which may be a batch with one image per prompt.
        size: height and width.
        crop: the region to crop from PIL images first.
        prompts: the number of prompts.

    Raises:
        ArgumentError: if an image is not valid, or their number doesn't fit the prompts.
        ArgumentTypeError: if an image has the wrong type.
    """
    how: Mapping[str, Any] = {} if crop is None else {"resize_mode": "fill", "crops_coords": crop}
    prepared = []
    for net, image in zip(nets, images):
        pixels = processor.preprocess(image, *size, **how).to(torch.float32)
        if pixels.shape[1] != net.config.conditioning_channels:
            raise ArgumentError(
                f"control_image has {pixels.shape[1]} channels, but its ControlNet takes "
                f"{net.config.conditioning_channels}; convert the image"
            )
        if len(pixels) not in (1, prompts):
            raise ArgumentError(
                f"got {len(pixels)} control images for {prompts} prompts; give one for all, or one "
                f"for each"
            )
        count = prompts * num_images_per_prompt // len(pixels)
        prepared.append(pixels.repeat_interleave(count, dim=0))
    return prepared
