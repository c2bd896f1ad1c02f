"""What a call asks of its ControlNets: checked, and brought into the form that steps use."""

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
from autopipe_components.steps.checks import check_image, check_number

from .controlnet import ControlNetModel
from .multicontrolnet import MultiControlNetModel

Numbers: TypeAlias = float | Sequence[float]
"""One number for all ControlNets, or one for each."""

ControlImage: TypeAlias = (
    ImageInput | list[list[Image.Image]] | list[list[np.ndarray]] | list[list[Tensor]]
)
"""An image for a ControlNet, or several: see `images_for`."""

_WIDTHS = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    1280: "the SDXL refiner",
    2048: "SDXL",
}
"""Who has prompts of this width, for messages."""


@dataclass(frozen=True)
class Control:
    """How strongly each ControlNet steers, and when.

    Attributes:
        scales: the factor of each.
        starts, ends: the part of the steps, from 0 to 1, in which each one is at work.
        guess: whether the prediction without the prompt goes without ControlNet too.
    """

    scales: tuple[float, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]
    guess: bool

    def scales_at(self, step: int, steps: int) -> list[float]:
        """The factors in `step` of `steps`: 0 where it is not within start and end, whole."""
        return [
            scale if start <= step / steps and (step + 1) / steps <= end else 0.0
            for scale, start, end in zip(self.scales, self.starts, self.ends)
        ]


def check_one_scale(controlnet: Any, scale: Numbers) -> None:
    """Refuse a list of scales for a lone ControlNet.

    Raises:
        ArgumentTypeError: `scale` is a list, and `controlnet` a single network.
    """
    if isinstance(scale, (list, tuple)) and not isinstance(controlnet, MultiControlNetModel):
        raise ArgumentTypeError(
            "controlnet_conditioning_scale is a list, which is for several ControlNets; give a "
            "number"
        )


def make_control(
    nets: Sequence[ControlNetModel], scale: Numbers, start: Numbers, end: Numbers, guess: bool
) -> Control:
    """Check what a call says of strength and time.

    Raises:
        ArgumentError, ArgumentTypeError: it can't be used.
    """
    control = Control(
        scales=_one_for_each("controlnet_conditioning_scale", scale, len(nets)),
        starts=_one_for_each("control_guidance_start", start, len(nets)),
        ends=_one_for_each("control_guidance_end", end, len(nets)),
        guess=guess,
    )
    for first, last in zip(control.starts, control.ends):
        if not 0 <= first < last <= 1:
            raise ArgumentError(
                f"control_guidance_start is {first} and control_guidance_end {last}; give parts "
                f"of the steps, from 0 to 1, and the start before the end"
            )
    return control


def _one_for_each(name: str, value: Numbers, count: int) -> tuple[float, ...]:
    values: tuple[Any, ...] = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
    for one in values:
        check_number(name, one)
    if len(values) != count:
        raise ArgumentError(
            f"{name} has {len(values)} numbers for {count} ControlNets; give one for each, or a "
            f"single number"
        )
    return tuple(float(one) for one in values)


def nets_of(controlnet: Any) -> list[ControlNetModel]:
    """The networks of a ControlNet, which may be several."""
    return controlnet.parts if isinstance(controlnet, MultiControlNetModel) else [controlnet]


def joined(controlnet: Any) -> Any:
    """`controlnet`, or one network that stands for those of a list."""
    if isinstance(controlnet, (list, tuple)):
        return MultiControlNetModel(controlnet)
    return controlnet


def check_fits(controlnet: Any, unet: Any, channels: int) -> None:
    """Refuse ControlNets that were made for another kind of U-Net.

    Args:
        channels: of the latents.

    Raises:
        ArgumentTypeError: there is none, or something else.
        ArgumentError: it names what differs.
    """
    for number, net in enumerate(nets_of(controlnet)):
        name = MultiControlNetModel.part_name("controlnet", number)
        if not isinstance(net, ControlNetModel):
            raise ArgumentTypeError(
                f"{name} is a {type(net).__name__}; give a ControlNetModel, a list of them, or a "
                f"MultiControlNetModel"
            )
        levels = len(unet.config.block_out_channels)
        for key in ("cross_attention_dim", "block_out_channels", "layers_per_block"):
            own, wanted = (_levels(one.config[key], key, levels) for one in (net, unet))
            if own != wanted:
                raise ArgumentError(
                    f"{name} is for another kind of checkpoint: its {key} is "
                    f"{_described(net.config[key])}, and that of the U-Net is "
                    f"{_described(unet.config[key])}; give a ControlNet that was "
                    f"trained for it"
                )
        if net.config.addition_embed_type not in (None, unet.config.addition_embed_type):
            raise ArgumentError(
                f"{name} needs what only checkpoints with addition_embed_type "
                f"{shown(net.config.addition_embed_type)} have, such as SDXL, and the U-Net has "
                f"{shown(unet.config.addition_embed_type)}; give a ControlNet that was "
                "trained for it"
            )
        if net.config.in_channels != channels:
            raise ArgumentError(
                f"{name} takes {net.config.in_channels} channels and the latents have {channels}; "
                f"give a ControlNet that was trained for it"
            )


def _levels(value: Any, key: str, levels: int) -> tuple[Any, ...]:
    several = isinstance(value, (list, tuple))
    return tuple(value) if several else per_level(key, value, levels)


def _described(value: Any) -> str:
    family = _WIDTHS.get(value) if isinstance(value, int) else None
    return f"{value} ({family})" if family else str(value)


def images_for(controlnet: Any, image: Any) -> list[Any]:
    """The control images of each network: one, or several for the prompts of a batch.

    Several networks take a list with an entry for each; where the entries are lists themselves,
    there is one for each prompt, with an image for each network.

    Raises:
        ArgumentError, ArgumentTypeError: an image is missing, or the list doesn't fit.
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
    """An entry for each network, of a list that has that, or lists for each prompt."""
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
    """For each ControlNet a tensor (B, C, height, width) in [0, 1], float32.

    Args:
        images: one for each ControlNet; each may be a batch of one for every prompt.
        size: height and width.
        crop: the region to cut out of PIL images first.
        prompts: how many there are.

    Raises:
        ArgumentError, ArgumentTypeError: an image can't be used, or they don't fit the prompts.
    """
    how: Mapping[str, Any] = {} if crop is None else {"resize_mode": "fill", "crops_coords": crop}
    prepared = []
    for net, image in zip(nets, images):
        pixels = processor.preprocess(image, *size, **how).to(torch.float32)
        if pixels.shape[1] != net.config.conditioning_channels:
            raise ArgumentError(
                f"control_image has {pixels.shape[1]} channels, and its ControlNet takes "
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
