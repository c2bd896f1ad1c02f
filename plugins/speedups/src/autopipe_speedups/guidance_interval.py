"""Guidance in a part of the steps only (Kynkäänniemi et al. 2024, arXiv:2404.07724).

Guidance matters most at medium noise levels: at high ones it makes pictures alike, and at low ones
it changes little. A step without it predicts with the prompt alone, at half of the cost.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_components.guided import GuidedPipeline
from autopipe_components.schedulers.sigmas import interpolated, sigmas_of

from .arguments import ascending_pair
from .guided import Choose, HalvesChoice
from .inputs import GUIDANCE_INTERVAL, GUIDANCE_SIGMAS


class GuidanceInterval(HalvesChoice):
    """Switches guidance off outside an interval of the steps, or of the noise levels.

    Args:
        interval: the parts of the steps where guidance begins and ends, in [0, 1]. A step has
            guidance if its middle lies between them.
        sigmas: the lowest and the highest noise level with guidance, instead of an interval: the
            standard deviation of the noise, relative to an image without noise of deviation 1.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """

    name = "guidance_interval"
    # Inside of how two halves are predicted: it decides whether there are two.
    order = -10
    inputs = (GUIDANCE_INTERVAL, GUIDANCE_SIGMAS)

    def __init__(self, interval: Any = (0.2, 0.9), sigmas: Any = None) -> None:
        self.interval = _parts("interval", interval)
        self.sigmas = None if sigmas is None else ascending_pair("sigmas", sigmas)

    def of_call(self, run: Any) -> GuidanceInterval:
        """Return the add-on with the arguments of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is not valid, or both are given.
        """
        made, call = copy.copy(self), run.call
        interval, sigmas = (call.get(one.name) for one in self.inputs)
        if interval is not None and sigmas is not None:
            raise ArgumentError(
                "guidance_interval and guidance_sigmas both say which steps have guidance; give one"
            )
        if interval is not None:
            made.interval, made.sigmas = _parts(GUIDANCE_INTERVAL.name, interval), None
        if sigmas is not None:
            made.sigmas = ascending_pair(GUIDANCE_SIGMAS.name, sigmas)
        return made

    def choice(self, run: GuidedPipeline, tensors: Mapping[str, Any]) -> Choose:
        """Return the function that decides in each step of a call.

        Raises:
            ArgumentError: for noise levels, if the scheduler has none.
        """
        if self.sigmas is None:
            start, end = self.interval

            def by_part(step: int, timestep: Tensor) -> Any:
                middle = (step + 0.5) / run.num_timesteps
                return None if start <= middle <= end else "positive"

            return by_part
        bars = getattr(run.scheduler, "alphas_cumprod", None)
        if not isinstance(bars, Tensor):
            raise ArgumentError(
                f"guidance_sigmas is {shown(self.sigmas)}, but a {type(run.scheduler).__name__} "
                f"has no noise levels; give guidance_interval instead"
            )
        low, high = self.sigmas
        levels = sigmas_of(bars)

        def by_level(step: int, timestep: Tensor) -> Any:
            level = float(interpolated(timestep.detach().cpu().numpy(), levels))
            return None if low <= level <= high else "positive"

        return by_level


def _parts(name: str, value: Any) -> tuple[float, float]:
    low, high = ascending_pair(name, value)
    if not 0 <= low < high <= 1:
        raise ArgumentError(f"{name} is {shown((low, high))}; give parts of the steps, from 0 to 1")
    return low, high
