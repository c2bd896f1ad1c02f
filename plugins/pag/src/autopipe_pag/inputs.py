"""The arguments that perturbed-attention guidance adds to calls."""

from __future__ import annotations

from autopipe.tasks import Input

PAG_SCALE = Input(
    "pag_scale",
    "number",
    required=False,
    help="how far to lead away from the prediction without structure; 0 turns it off",
)
PAG_ADAPTIVE_SCALE = Input(
    "pag_adaptive_scale",
    "number",
    required=False,
    help="how much the scale falls towards the end: by this times (1000 - timestep)",
)
