"""The arguments that the add-ons of this package add to calls."""

from __future__ import annotations

from autopipe.tasks import Input

CACHE_INTERVAL = Input(
    "cache_interval", "number", "cache-interval", False, "the distance between full steps"
)
CACHE_DEPTH = Input(
    "cache_depth", "number", "cache-depth", False, "the skip connections that shallow steps compute"
)
CACHE_FULL_STEPS = Input(
    "cache_full_steps", "value", "cache-full-steps", False, "the indices of the full steps"
)
GUIDANCE_INTERVAL = Input(
    "guidance_interval",
    "value",
    "guidance-interval",
    False,
    "the part of the steps with guidance, such as [0.2, 0.9]",
)
GUIDANCE_SIGMAS = Input(
    "guidance_sigmas",
    "value",
    "guidance-sigmas",
    False,
    "the noise levels with guidance, such as [0.3, 5.4]",
)
GUIDANCE_HALVES = Input(
    "guidance_halves", "text", "guidance-halves", False, 'batched, "in turn", or auto by memory'
)
