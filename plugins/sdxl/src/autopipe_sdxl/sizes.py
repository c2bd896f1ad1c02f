"""The sizes, crops and scores that SDXL is told besides the prompt (arXiv 2307.01952, 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown
from autopipe_components.steps.checks import check_number

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments

Size: TypeAlias = tuple[int, int]
Ids: TypeAlias = Sequence[float]


@dataclass(frozen=True)
class Sizes:
    """The micro-conditioning of a call, named as its parameters are; pairs are (height, width).

    Attributes:
        original_size: how large the image was before it was scaled down; small ones look blurred.
        crops_coords_top_left: where the image was cut out; (0, 0) centres its subject.
        target_size: how large the image is to look.
        negative_original_size, negative_crops_coords_top_left, negative_target_size: the same for
            the half without the prompt.
        aesthetic_score, negative_aesthetic_score: how good the image looks, from 0 to 10; for
            U-Nets that take it in place of the target size.
    """

    original_size: Size | None = None
    crops_coords_top_left: Size = (0, 0)
    target_size: Size | None = None
    negative_original_size: Size | None = None
    negative_crops_coords_top_left: Size = (0, 0)
    negative_target_size: Size | None = None
    aesthetic_score: float = 6.0
    negative_aesthetic_score: float = 2.5

    @classmethod
    def of(cls, call: Arguments) -> Sizes:
        """Those of a call.

        Without crops of its own, the half without the prompt is told those of the other half.
        """
        given = {one.name: call[one.name] for one in fields(cls) if one.name in call}
        return cls(**{"negative_crops_coords_top_left": call.crops_coords_top_left, **given})

    def check(self) -> None:
        """Refuse what are not pairs of numbers, and scores that are not numbers.

        Raises:
            ArgumentError, ArgumentTypeError: one of them is.
        """
        for name, value in vars(self).items():
            if name.endswith("aesthetic_score"):
                check_number(name, value)
            elif value is not None or "crops" in name:
                _check_pair(name, value)


def ids_of_noise(sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
    """What the negative and the positive half of text to image are told, six numbers each.

    Negative sizes count only if both are given. `height` and `width` are those of the image.
    """
    original, target = sizes.original_size or (height, width), sizes.target_size or (height, width)
    positive = [*original, *sizes.crops_coords_top_left, *target]
    if sizes.negative_original_size is None or sizes.negative_target_size is None:
        return positive, positive
    crops = sizes.negative_crops_coords_top_left
    return [*sizes.negative_original_size, *crops, *sizes.negative_target_size], positive


def ids_of_image(sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
    """The same for tasks that start from an image: each negative size counts by itself.

    The negative half is told the positive crops, as the reference implementation does.
    """
    original, target = sizes.original_size or (height, width), sizes.target_size or (height, width)
    crops = sizes.crops_coords_top_left
    return (
        [
            *(sizes.negative_original_size or original),
            *crops,
            *(sizes.negative_target_size or target),
        ],
        [*original, *crops, *target],
    )


def ids_of_scored_image(sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
    """The same for U-Nets that take an aesthetic score and no target size: five numbers each."""
    original = sizes.original_size or (height, width)
    return (
        [
            *(sizes.negative_original_size or original),
            *sizes.negative_crops_coords_top_left,
            sizes.negative_aesthetic_score,
        ],
        [*original, *sizes.crops_coords_top_left, sizes.aesthetic_score],
    )


def check_ids(config: Mapping[str, Any], count: int, pooled: int) -> None:
    """Refuse a U-Net that takes other than `count` numbers beside a pooled prompt so wide.

    Raises:
        ArgumentError: it does, or takes none at all.
    """
    if config["addition_embed_type"] != "text_time":
        raise ArgumentError(
            f"this U-Net has addition_embed_type {config['addition_embed_type']!r} and the family "
            f"needs 'text_time'; load a checkpoint of Stable Diffusion XL"
        )
    taken = config["projection_class_embeddings_input_dim"] - pooled
    taken /= config["addition_time_embed_dim"]
    if taken != count:
        raise ArgumentError(
            f"this U-Net takes {taken:g} numbers beside a pooled prompt of width {pooled}, and "
            f"this call has {count}: 6 with a target size, 5 with the score of a refiner. Refiners "
            f"change and inpaint images with requires_aesthetics_score=True; for text to image "
            f"load a base checkpoint"
        )


def _check_pair(name: str, value: Any) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ArgumentTypeError(
            f"{name} is a {type(value).__name__}; give a pair of numbers (height, width)"
        )
    if len(value) != 2:
        raise ArgumentError(f"{name} is {shown(value)}; give a pair of numbers (height, width)")
    for one in value:
        check_number(name, one)
