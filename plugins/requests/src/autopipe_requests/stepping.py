"""Tells the denoising steps of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .signatures import takes_of

if TYPE_CHECKING:
    from PIL.Image import Image

_ON_STEP = "callback_on_step_end"


@dataclass(frozen=True)
class Step:
    """A denoising step of a call that has just ended.

    Attributes:
        number: the number of finished steps of the call.
        steps: the number of its steps.
        preview: returns an image of what the latents show, without decoding them; None if the
            pipeline can't show it.
    """

    number: int
    steps: int
    preview: Callable[[], Image | None]


def stepping(pipe: Any, on_step: Callable[[Step], object] | None) -> dict[str, Any]:
    """Return the argument by which a call tells its steps, if it has one."""
    if on_step is None or _ON_STEP not in takes_of(type(pipe)):
        return {}

    def told(run: Any, index: int, timestep: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
        def preview() -> Image | None:
            show, latents = getattr(run, "preview", None), tensors.get("latents")
            return None if show is None or latents is None else show(latents)[0]

        on_step(Step(index + 1, max(index + 1, getattr(run, "num_timesteps", 0)), preview))
        return {}

    return {_ON_STEP: told}
