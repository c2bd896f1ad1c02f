"""Checks the arguments of a call before any work is done.

Each check raises `ArgumentError` for a wrong value or `ArgumentTypeError` for a wrong type; the
latter is also an `ArgumentError`, and both are `ValueError`s. The message says what to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.wording import shown

from ..images.kinds import as_list, kind_of, tensor_size
from ..images.kinds import check_output_type as check_output_type
from .values import LARGEST as LARGEST
from .values import check_at_least_one as check_at_least_one
from .values import check_number as check_number
from .values import check_tensor as check_tensor
from .values import check_text as check_text
from .values import check_whole as check_whole

if TYPE_CHECKING:
    from .codec import Generators

Prompt: TypeAlias = str | list[str]
"""A text or a list of texts."""


def check_prompt(
    prompt: Prompt | None,
    prompt_embeds: Tensor | None = None,
    negative_prompt: Prompt | None = None,
    negative_prompt_embeds: Tensor | None = None,
    *,
    name: str = "prompt",
) -> None:
    """Check that exactly one of prompt and embeddings is given, with the right types and shapes.

    Args:
        name: the name of the argument, such as `"prompt_2"`.
    """
    if prompt is not None and prompt_embeds is not None:
        raise ArgumentError(f"got both {name} and {name}_embeds; give one of them")
    if prompt is None and prompt_embeds is None:
        raise ArgumentError(f"got neither {name} nor {name}_embeds; give one of them")
    if negative_prompt is not None and negative_prompt_embeds is not None:
        raise ArgumentError(
            f"got both negative_{name} and negative_{name}_embeds; give one of them"
        )
    check_text(name, prompt)
    check_text(f"negative_{name}", negative_prompt)
    check_tensor(f"{name}_embeds", prompt_embeds)
    check_tensor(f"negative_{name}_embeds", negative_prompt_embeds)
    for what, embeds in ((name, prompt_embeds), (f"negative_{name}", negative_prompt_embeds)):
        if embeds is not None and (embeds.ndim != 3 or not embeds.numel()):
            raise ArgumentError(
                f"{what}_embeds have shape {tuple(embeds.shape)}; they need three axes "
                f"(batch, tokens, width), none of length 0"
            )
        check_floating(f"{what}_embeds", embeds)
    if prompt_embeds is None or negative_prompt_embeds is None:
        return
    if prompt_embeds.shape != negative_prompt_embeds.shape:
        raise ArgumentError(
            f"{name}_embeds have shape {tuple(prompt_embeds.shape)} and negative_{name}_embeds "
            f"{tuple(negative_prompt_embeds.shape)}; make both of one shape"
        )


def check_floating(name: str, embeds: Tensor | None) -> None:
    """Check that embeddings, if given, have a floating-point dtype."""
    if embeds is not None and not embeds.is_floating_point():
        raise ArgumentTypeError(
            f"{name} have the dtype {embeds.dtype}; give floating-point numbers, such as those of "
            f"encode_prompt"
        )


def check_width(name: str, embeds: Tensor | None, width: int) -> None:
    """Check that embeddings, if given, have the shape (batch, tokens, `width`)."""
    if embeds is not None and embeds.shape[-1] != width:
        raise ArgumentError(
            f"{name} are {embeds.shape[-1]} wide and the network takes {width}; encode the prompt "
            f"with the text encoder of this checkpoint"
        )


def check_negative_prompt(
    negative_prompt: Prompt | None, prompt: Prompt | None, batch_size: int
) -> None:
    """Check that the negative prompt matches the prompt in type and number.

    Use it for calls with guidance, in families that don't apply one negative text to many prompts.
    A single text together with the embeddings of one prompt is accepted.
    """
    if negative_prompt is None:
        return
    if prompt is not None and type(prompt) is not type(negative_prompt):
        raise ArgumentTypeError(
            f"negative_prompt is a {type(negative_prompt).__name__} where prompt is a "
            f"{type(prompt).__name__}; give both as text, or both as lists of one length"
        )
    given = 1 if isinstance(negative_prompt, str) else len(negative_prompt)
    if isinstance(negative_prompt, list) and given != batch_size:
        raise ArgumentError(
            f"got {given} negative prompts for {batch_size} prompts; give one for each"
        )


def batch_size_of(prompt: Prompt | None, prompt_embeds: Tensor | None) -> int:
    """Return the number of prompts; one of the two arguments must be given."""
    if isinstance(prompt, str):
        return 1
    if prompt is not None:
        return len(prompt)
    assert prompt_embeds is not None, "check_prompt comes first"
    return len(prompt_embeds)


def check_size(height: int, width: int, multiple: int = 8) -> None:
    """Check that height and width are positive multiples of `multiple`, at most a million."""
    for name, value in (("height", height), ("width", width)):
        check_whole(name, value)
        if value > LARGEST:
            raise ArgumentError(f"{name} is {shown(value)}; give {LARGEST} pixels at most")
        if value <= 0 or value % multiple:
            below = max(value - value % multiple, multiple)
            raise ArgumentError(
                f"{name} is {value}; it must be positive and divisible by {multiple}, such as "
                f"{below} or {below + multiple}"
            )


def check_strength(strength: float) -> None:
    """Check that `strength` is a number from 0 (keep the image) to 1 (ignore it)."""
    check_number("strength", strength)
    if not 0 <= strength <= 1:
        raise ArgumentError(f"strength is {strength}; give a number in [0, 1]")


def check_part(
    start: float | None, end: float | None, *, names: tuple[str, str] = ("start", "end")
) -> None:
    """Check that start and end are None or numbers in (0, 1), and that start is below end."""
    for name, value in zip(names, (start, end)):
        if value is None:
            continue
        check_number(name, value)
        if not 0 < value < 1:
            raise ArgumentError(f"{name} is {value}; give a number between 0 and 1")
    if start is not None and end is not None and start >= end:
        raise ArgumentError(
            f"{names[0]} is {start} and {names[1]} {end}; the start must come before the end"
        )


def check_steps(
    num_inference_steps: int | None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
) -> None:
    """Check that there is at least one step, or that custom timesteps or sigmas are valid."""
    if timesteps is not None and sigmas is not None:
        raise ArgumentError("got both timesteps and sigmas; give one of them")
    for name, custom in (("timesteps", timesteps), ("sigmas", sigmas)):
        if custom is None:
            continue
        try:
            numbers = torch.as_tensor(custom, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            numbers = torch.tensor(math.nan)
        if numbers.ndim != 1 or numbers.isnan().any():
            raise ArgumentTypeError(f"{name} is {shown(custom)}; give a list of numbers")
        if not len(numbers):
            raise ArgumentError(f"{name} is empty; give at least one")
    if timesteps is None and sigmas is None:
        check_at_least_one("num_inference_steps", num_inference_steps)


def check_images_per_prompt(num_images_per_prompt: int) -> None:
    """Check that there is at least one image per prompt."""
    check_at_least_one("num_images_per_prompt", num_images_per_prompt)


def check_guidance(guidance_scale: float, guidance_rescale: float = 0.0) -> None:
    """Check that both arguments are finite numbers, and that the rescale is in [0, 1]."""
    for name, value in (("guidance_scale", guidance_scale), ("guidance_rescale", guidance_rescale)):
        check_number(name, value)
        if not math.isfinite(value):
            raise ArgumentError(f"{name} is {value}; give a finite number")
    if not 0 <= guidance_rescale <= 1:
        raise ArgumentError(f"guidance_rescale is {guidance_rescale}; give a number in [0, 1]")


def check_eta(eta: float) -> None:
    """Check that `eta` is a number from 0 (DDIM adds no noise) to 1."""
    check_number("eta", eta)
    if not 0 <= eta <= 1:
        raise ArgumentError(f"eta is {eta}; give a number in [0, 1]")


def check_network_channels(in_channels: int, channels: int) -> None:
    """Check that the network takes `channels` input channels: the latents and nothing else."""
    if in_channels != channels:
        raise ArgumentError(
            f"this task gives the network {channels} channels and it takes {in_channels}; "
            f"a network that takes {2 * channels + 1} is for inpainting"
        )


def check_generators(generator: Generators, batch_size: int) -> None:
    """Check that `generator` is None, one generator, or a list with one for each image."""
    if generator is None or isinstance(generator, torch.Generator):
        return
    if not isinstance(generator, (list, tuple)) or not all(
        isinstance(one, torch.Generator) for one in generator
    ):
        raise ArgumentTypeError(
            f"generator is a {type(generator).__name__}; give a torch.Generator or a list of them"
        )
    if len(generator) != batch_size:
        raise ArgumentError(
            f"got a list of {len(generator)} generators for a batch of {batch_size} images "
            f"(prompts x num_images_per_prompt); give one for each, or a single generator"
        )


def check_callback_inputs(names: Sequence[str] | None, allowed: Sequence[str]) -> None:
    """Check that the pipeline offers the tensors that a callback requests."""
    if names is not None and not isinstance(names, (list, tuple)):
        raise ArgumentTypeError(
            f"callback_on_step_end_tensor_inputs is a {type(names).__name__}; give a list of names"
        )
    for name in names or ():
        if name not in allowed:
            raise ArgumentError(
                f"callback_on_step_end_tensor_inputs has {shown(name)}; this pipeline offers "
                f"{', '.join(allowed)}.{nearest(name, allowed)}"
            )


def check_components(pipe: Any, names: Sequence[str]) -> None:
    """Check that the named components are not None; names that the class lacks are ignored.

    Raises:
        ArgumentError: if one of them is None.
    """
    known = type(pipe).module_names()
    absent = [name for name in names if name in known and getattr(pipe, name, None) is None]
    if absent:
        raise ArgumentError(
            f"this {type(pipe).__name__} has no {' and no '.join(absent)}, which this call needs; "
            f"load the checkpoint without {absent[0]}=None, or set {absent[0]} on the pipeline"
        )


def check_image(image: Any, name: str = "image") -> None:
    """Check that `image` is an image, or a list of images of one kind: PIL, numpy or torch."""
    if image is None:
        raise ArgumentTypeError(
            f"{name} is missing; give a PIL image, an array, a tensor, or a list"
        )
    kind_of(image, name)


def check_colours(pixels: Tensor, name: str = "image") -> None:
    """Check that `pixels` have the shape (N, 3, H, W)."""
    if pixels.shape[1] != 3:
        raise ArgumentError(
            f"{name} has {pixels.shape[1]} channels (its shape is {tuple(pixels.shape)}); give 3, "
            f"in an array as the last axis, in a tensor before height and width"
        )


def check_mask(image: Any, mask: Any) -> None:
    """Check that there is a mask, and that it has the size of the image if both are tensors.

    PIL images and arrays are resized, so their sizes may differ. An image given as latents is not
    compared.
    """
    check_image(mask, "mask_image")
    sizes = tensor_size(image), tensor_size(mask)
    colours = as_list(image)[0].shape[-3:-2] if sizes[0] is not None else ()
    if None not in sizes and sizes[0] != sizes[1] and colours in ((), (3,)):
        raise ArgumentError(
            f"image is {sizes[0]} and mask_image {sizes[1]} (height, width); "
            f"give tensors of one size, or PIL images, which are resized"
        )


def check_mask_crop(padding_mask_crop: int | None, image: Any, mask: Any, output_type: str) -> None:
    """Check that `padding_mask_crop` is a number of pixels, and that all images are PIL images."""
    if padding_mask_crop is None:
        return
    check_whole("padding_mask_crop", padding_mask_crop)
    if padding_mask_crop < 0:
        raise ArgumentError(f"padding_mask_crop is {padding_mask_crop}; give 0 or more pixels")
    for name, value in (("image", image), ("mask_image", mask)):
        if isinstance(value, (list, tuple)) or kind_of(value, name) != "pil":
            raise ArgumentTypeError(
                f"padding_mask_crop needs a single PIL image as {name}, not a "
                f"{type(value).__name__}; convert it, or leave padding_mask_crop out"
            )
    if output_type != "pil":
        raise ArgumentError(
            f"padding_mask_crop gives PIL images only, and output_type is {shown(output_type)}; "
            f'give output_type="pil", or leave padding_mask_crop out'
        )


def check_paste(paste_unmasked: bool, pixels: Tensor, output_type: str) -> None:
    """Check that unmasked pixels can be pasted: image and result must both be pixels."""
    if not paste_unmasked:
        return
    if output_type == "latent":
        raise ArgumentError(
            'paste_unmasked can\'t paste pixels into latents; leave it out, or output_type="latent"'
        )
    if pixels.shape[1] != 3:
        raise ArgumentError(
            f"paste_unmasked needs an image with 3 channels, and this one has {pixels.shape[1]}; "
            f"give the image as pixels, or leave paste_unmasked out"
        )
