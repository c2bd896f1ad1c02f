"""The halves of guidance in one batch, or one after the other with half of the memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.placement.devices import free_memory
from autopipe.placement.room import works_of
from autopipe.wording import listed, shown
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.guidance import Halves

from .guided import Choose, HalvesChoice
from .inputs import GUIDANCE_HALVES

AUTO = "auto"
_CHOICES = (AUTO, *(one for one in get_args(Halves) if one != "positive"))


class GuidanceHalves(HalvesChoice):
    """Predicts with and without the prompt in one batch, or one after the other.

    The results are equal up to rounding.

    Args:
        halves: `"batched"`; `"in turn"`, which halves the memory of activations; or `"auto"`, which
            is in turn if a batch would take more than the free memory, as far as it is known.

    Raises:
        ArgumentError: if it is none of these.
    """

    name = "guidance_halves"
    inputs = (GUIDANCE_HALVES,)

    def __init__(self, halves: str = AUTO) -> None:
        self.halves = _checked("halves", halves)

    def of_call(self, run: Any) -> GuidanceHalves:
        """Return the add-on with the argument of a call.

        Raises:
            ArgumentError: if the argument is not valid.
        """
        made, given = copy.copy(self), run.call.get(GUIDANCE_HALVES.name)
        if given is not None:
            made.halves = _checked(GUIDANCE_HALVES.name, given)
        return made

    def choice(self, run: GuidedPipeline, tensors: Mapping[str, Any]) -> Choose:
        """Return the function that decides in each step of a call."""
        halves = self.halves
        if halves == AUTO:
            halves = "batched" if _fits(run, tensors["latents"]) else "in turn"
        chosen: Any = halves
        return lambda step, timestep: chosen


def _checked(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in _CHOICES:
        raise ArgumentError(f"{name} is {shown(value)}; give one of {listed(_CHOICES)}")
    return value


def _fits(run: GuidedPipeline, latents: Tensor) -> bool:
    """Whether the activations of both halves probably fit into the free memory."""
    free = free_memory().get(latents.device)
    networks = [(run.denoiser, *latents.shape[-2:])]
    return free is None or all(work <= free for work, *_ in works_of(networks, len(latents)))
