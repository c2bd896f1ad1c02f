"""The arguments that the add-ons of this package add to calls."""

from __future__ import annotations

from functools import partial

from autopipe.tasks import Input

_optional = partial(Input, required=False)

CACHE_INTERVAL = _optional("cache_interval", "number", help="the distance between full steps")
CACHE_DEPTH = _optional(
    "cache_depth", "number", help="the number of skip connections that shallow steps compute"
)
CACHE_FULL_STEPS = _optional("cache_full_steps", "value", help="the indices of the full steps")
GUIDANCE_INTERVAL = _optional(
    "guidance_interval", "value", help="the part of the steps with guidance, such as [0.2, 0.9]"
)
GUIDANCE_SIGMAS = _optional(
    "guidance_sigmas", "value", help="the noise levels with guidance, such as [0.28, 5.42]"
)
GUIDANCE_HALVES = _optional(
    "guidance_halves", "text", help='batched, "in turn", or auto: by the free memory'
)
