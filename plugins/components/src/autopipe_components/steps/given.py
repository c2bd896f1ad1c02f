"""Defines `check_inputs`, which checks the arguments of a call, for programs with their own loop.

Each class lists the parameters of its method, in the order of diffusers:

    check_inputs = checks_of("prompt height width callback_steps", "negative_prompt")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from autopipe.attaching.attachment import Attachment
from autopipe.errors import ArgumentError, ArgumentTypeError

from ..images.kinds import count_of
from .callbacks import older_callback
from .checks import (
    batch_size_of,
    check_callback_inputs,
    check_image,
    check_mask_crop,
    check_prompt,
    check_size,
    check_steps,
    check_strength,
    check_tensor,
    check_text,
)

TEXTS = "negative_prompt prompt_embeds negative_prompt_embeds"
IMAGE_PROMPTS = "ip_adapter_image ip_adapter_image_embeds"
NAMES = "callback_on_step_end_tensor_inputs"


def checks_of(required: str, optional: str = "", **defaults: Any) -> Callable[..., None]:
    """Return a method `check_inputs` with the given parameters.

    Args:
        required, optional: the names of the parameters in order, separated by spaces.
        **defaults: the defaults of optional parameters that are not None.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([
        *(inspect.Parameter(name, kind) for name in ("self", *required.split())),
        *(inspect.Parameter(n, kind, default=defaults.get(n)) for n in optional.split()),
    ])  # fmt: skip

    def check_inputs(*args: Any, **kwargs: Any) -> None:
        """Check the arguments of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is missing, unknown or invalid.
        """
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentTypeError(f"check_inputs: {error}; it takes {signature}") from None
        bound.apply_defaults()
        pipe = bound.arguments.pop("self")
        pipe.check_given_arguments(bound.arguments)

    check_inputs.__signature__ = signature  # type: ignore[attr-defined]
    return check_inputs


class ChecksGiven:
    """Mixin with the checks of `check_inputs`, which a family may extend."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]]
    given_size_multiple: ClassVar[int] = 8
    """The number of pixels that height and width must be multiples of."""

    def check_given_arguments(self, given: Mapping[str, Any]) -> None:
        """Check the arguments of `check_inputs`, by name; absent ones are not checked.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        self.check_given_prompts(given)
        if "height" in given:
            check_size(given["height"], given["width"], self.given_size_multiple)
        if "strength" in given:
            check_strength(given["strength"])
        if "num_inference_steps" in given:
            check_steps(given["num_inference_steps"])
        older_callback(None, given.get("callback_steps"), 1)
        check_callback_inputs(
            given.get("callback_on_step_end_tensor_inputs"), self._callback_tensor_inputs
        )
        crop = given.get("padding_mask_crop")
        if crop is not None:
            check_mask_crop(crop, given["image"], given["mask_image"], given["output_type"])
        check_image_prompts(self, given)

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        """Check the prompts in `given`; by default one prompt and its negative prompt.

        Raises:
            ArgumentError, ArgumentTypeError: if they are invalid.
        """
        names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
        check_prompt(*(given.get(name) for name in names))


def check_image_prompts(pipe: Any, given: Mapping[str, Any]) -> None:
    """Check that an attached add-on takes image prompts, if any are given.

    Raises:
        ArgumentError: if none does, or images and embeddings are both given.
    """
    images = given.get("ip_adapter_image"), given.get("ip_adapter_image_embeds")
    names = [n for n, one in zip(IMAGE_PROMPTS.split(), images) if one is not None]
    if not names:
        return
    if len(names) > 1:
        raise ArgumentError(f"got both {' and '.join(names)}; give one of them")
    addons = pipe.attached(Attachment).values()
    if not any(one.name in IMAGE_PROMPTS.split() for a in addons for one in a.inputs):
        raise ArgumentError(
            f"{names[0]} is given, but no attached add-on takes image prompts; attach an "
            f"IP-Adapter first: pipe.attach('ip_adapter', SOURCE)"
        )


def check_images_given(
    name: str, image: Any, prompt: Any, prompt_embeds: Any, batch_size: int | None = None
) -> None:
    """Check that `image` is one image, or as many as there are prompts.

    Args:
        name: the name of the argument.
        batch_size: the number of prompts; if None, that of `prompt` or `prompt_embeds`.

    Raises:
        ArgumentTypeError: if `image` is not an image or a list of images.
        ArgumentError: if the number of images is neither 1 nor that of the prompts.
    """
    check_image(image, name)
    check_text("prompt", prompt)
    check_tensor("prompt_embeds", prompt_embeds)
    none = prompt is None and prompt_embeds is None
    prompts = batch_size or (1 if none else batch_size_of(prompt, prompt_embeds))
    count = count_of(image)
    if count not in (1, prompts):
        raise ArgumentError(
            f"got {count} {name}s for {prompts} prompts; give one for all, or one for each"
        )
