"""Several ControlNets at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.several import SeveralModels
from autopipe_components.steps.codec import in_dtype_of

from .controlnet import ControlNetModel, ControlNetOutput


class MultiControlNetModel(SeveralModels):
    """Several ControlNets whose features are summed.

    In a checkpoint, they are the folders `controlnet`, `controlnet_1`, `controlnet_2`, ..., one for
    each network.

    Args:
        controlnets: at least one `ControlNetModel`.

    Raises:
        ArgumentError: if the list is empty, or contains anything other than a `ControlNetModel`.
    """

    part_class = ControlNetModel

    def __init__(self, controlnets: Sequence[ControlNetModel]) -> None:
        super().__init__(controlnets)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        controlnet_cond: Sequence[Tensor],
        conditioning_scale: Sequence[float],
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        guess_mode: bool = False,
        return_dict: bool = True,
    ) -> ControlNetOutput | tuple[tuple[Tensor, ...], Tensor]:
        """Return the sum of the features of all networks; see `ControlNetModel`.

        Networks whose scale is 0 are not run, unless all are 0.

        Args:
            controlnet_cond: a control image for each network.
            conditioning_scale: a factor for each network.

        Raises:
            ArgumentError: if the number of images or factors differs from that of the networks.
        """
        if not len(self.parts) == len(controlnet_cond) == len(conditioning_scale):
            raise ArgumentError(
                f"{len(self.parts)} ControlNets got {len(controlnet_cond)} images and "
                f"{len(conditioning_scale)} scales; give one of each for every ControlNet"
            )
        used = [n for n, scale in enumerate(conditioning_scale) if scale] or [0]
        outputs = []
        for n in used:
            # Their dtypes may differ.
            seen, states, picture, embedded, added = in_dtype_of(
                self.parts[n],
                [
                    sample,
                    encoder_hidden_states,
                    controlnet_cond[n],
                    timestep_cond,
                    added_cond_kwargs,
                ],
            )
            output = self.parts[n](
                seen,
                timestep,
                states,
                picture,
                conditioning_scale[n],
                class_labels,
                embedded,
                attention_mask,
                added,
                cross_attention_kwargs,
                guess_mode,
                return_dict=False,
            )
            outputs.append(output)
        down = tuple(_sum(features) for features in zip(*(one[0] for one in outputs)))
        mid = _sum([one[1] for one in outputs])
        if not return_dict:
            return down, mid
        return ControlNetOutput(down_block_res_samples=down, mid_block_res_sample=mid)

    def set_attention_slice(self, slice_size: str | int | list[int | None] | None = "auto") -> None:
        """Compute attention for a few heads at a time, in each network."""
        for net in self.parts:
            net.set_attention_slice(slice_size)


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    """Return the sum of `tensors`, added in order."""
    return functools.reduce(torch.add, tensors)
