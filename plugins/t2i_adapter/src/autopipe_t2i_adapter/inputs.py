"""The arguments that adapters add to calls."""

from __future__ import annotations

from autopipe.tasks import Input

ADAPTER_IMAGE = Input(
    "adapter_image", "image", required=False, help="the picture that the adapter reads"
)
ADAPTER_SCALE = Input(
    "adapter_conditioning_scale",
    "number",
    option="adapter-scale",
    required=False,
    help="the strength of the adapter",
)
ADAPTER_FACTOR = Input(
    "adapter_conditioning_factor",
    "number",
    option="adapter-factor",
    required=False,
    help="the part of the steps with the adapter, from the first, such as 0.5",
)
