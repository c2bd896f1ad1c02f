"""The micro-conditioning of SDXL: sizes, crops and scores (arXiv 2307.01952, section 2.2)."""

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
    """The micro-conditioning of a call, with the names of its parameters; pairs: (height, width).

    Attributes:
        original_size: the size of the image before scaling; small sizes give blurred images.
        crops_coords_top_left: the top left corner of the crop; (0, 0) centres the subject.
        target_size: the target size of the image.
        negative_original_size, negative_crops_coords_top_left, negative_target_size: likewise, for
            the negative half.
        aesthetic_score, negative_aesthetic_score: the aesthetic score of the image, from 0 to 10,
            for U-Nets that take it in place of the target size.
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
        """Return the micro-conditioning of a call.

        The crop of the negative half defaults to that of the positive half.
        """
        given = {one.name: call[one.name] for one in fields(cls) if one.name in call}
        return cls(**{"negative_crops_coords_top_left": call.crops_coords_top_left, **given})

    def check(self) -> None:
        """Check that sizes and crops are pairs of numbers, and scores are numbers.

        Raises:
            ArgumentError: if a pair has another length, or a number is not finite.
            ArgumentTypeError: if a value has the wrong type.
        """
        for name, value in vars(self).items():
            if name.endswith("aesthetic_score"):
                check_number(name, value)
            elif value is not None or "crops" in name:
                _check_pair(name, value)


def ids_of_noise(sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
    """Return the ids of the negative and the positive half for text to image, six numbers each.

    Negative sizes are used only if both are given. `height` and `width` are those of the image.
    """
    original, target = sizes.original_size or (height, width), sizes.target_size or (height, width)
    positive = [*original, *sizes.crops_coords_top_left, *target]
    if sizes.negative_original_size is None or sizes.negative_target_size is None:
        return positive, positive
    crops = sizes.negative_crops_coords_top_left
    return [*sizes.negative_original_size, *crops, *sizes.negative_target_size], positive


def ids_of_image(sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
    """Return the ids for tasks with an initial image: each negative size is used separately.

    The negative half has the positive crops, as in the reference implementation.
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
    """Return the ids for U-Nets with an aesthetic score and no target size: five numbers each."""
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
    """Check that a U-Net takes `count` ids with pooled prompts of the width `pooled`.

    Raises:
        ArgumentError: if it takes another number of ids, or none.
    """
    if config["addition_embed_type"] != "text_time":
        raise ArgumentError(
            f"addition_embed_type of the U-Net must be 'text_time', not "
            f"{config['addition_embed_type']!r}; load a checkpoint of Stable Diffusion XL"
        )
    taken = config["projection_class_embeddings_input_dim"] - pooled
    taken /= config["addition_time_embed_dim"]
    if taken != count:
        raise ArgumentError(
            f"the U-Net takes {taken:g} size ids with pooled prompts of width {pooled}, but this "
            f"call has {count} (6 with a target size, 5 with an aesthetic score). Use refiners "
            f"for image to image or inpainting with requires_aesthetics_score=True; for text to "
            f"image, load a base checkpoint"
        )


def _check_pair(name: str, value: Any) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ArgumentTypeError(
            f"{name} must be a pair of numbers (height, width), not {type(value).__name__}"
        )
    if len(value) != 2:
        raise ArgumentError(f"{name} must be a pair of numbers (height, width), not {shown(value)}")
    for one in value:
        check_number(name, one)
