"""Several T2I-Adapters at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.several import SeveralModels
from autopipe_components.steps.codec import in_dtype_of

from .t2iadapter import T2IAdapter


class MultiAdapter(SeveralModels):
    """Several T2I-Adapters whose features are added, each with a weight.

    In a checkpoint, they are the folders `adapter`, `adapter_1`, `adapter_2`, ..., one for each
    network.

    Args:
        adapters: two or more `T2IAdapter`.

    Raises:
        ArgumentError: if there are fewer, or they halve the resolution differently.
    """

    part_class = T2IAdapter
    attribute = "adapters"

    def __init__(self, adapters: Sequence[T2IAdapter]) -> None:
        super().__init__(adapters)
        if len(self.parts) < 2:
            raise ArgumentError("a MultiAdapter needs two adapters or more; use the one as it is")
        strides = {tuple(part.strides): number for number, part in enumerate(self.parts)}
        if len(strides) > 1:
            (first, a), (other, b) = list(strides.items())[:2]
            raise ArgumentError(
                f"the features of adapter {a} have {list(first)} pixels per cell, and those of "
                f"adapter {b} {list(other)}; give adapters that were made for one U-Net"
            )

    @staticmethod
    def read_names(name: str, number: int) -> Sequence[str]:
        """Return the folders in which a part may be.

        diffusers writes all numbers up to that of the part, such as `adapter_1_2` for the third.
        """
        theirs = "".join(f"_{one}" for one in range(1, number + 1))
        return tuple(dict.fromkeys((SeveralModels.part_name(name, number), f"{name}{theirs}")))

    @property
    def downscale_factor(self) -> int:
        """The number of pixels that the height and width of images must be multiples of."""
        return int(self.parts[0].downscale_factor)

    @property
    def total_downscale_factor(self) -> int:
        """Pixels per cell of the features of the lowest resolution."""
        return int(self.parts[0].total_downscale_factor)

    def forward(
        self, xs: Sequence[Tensor], adapter_weights: Sequence[float] | None = None
    ) -> list[Tensor]:
        """Return the weighted sum of the features of all networks; see `T2IAdapter`.

        Args:
            xs: an image or a batch for each network.
            adapter_weights: a factor for each network; by default their mean is returned.

        Raises:
            ArgumentError: if the number of images or factors differs from that of the networks.
        """
        count = len(self.parts)
        weights = [1 / count] * count if adapter_weights is None else adapter_weights
        if not len(xs) == len(weights) == count:
            raise ArgumentError(
                f"{count} adapters got {len(xs)} images and {len(weights)} weights; give one of "
                f"each for every adapter"
            )
        # Their dtypes may differ.
        features = [part(in_dtype_of(part, x)) for part, x in zip(self.parts, xs)]
        scaled = [[weight * one for one in made] for weight, made in zip(weights, features)]
        return [functools.reduce(torch.add, level) for level in zip(*scaled)]
