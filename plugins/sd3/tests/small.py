"""The sizes of a tiny Stable Diffusion 3."""

from __future__ import annotations

from typing import Any

from support.tiny import WIDTH

LONG, POOLED, TOKENS = 2 * WIDTH + 8, 10, 6
"""The widths of T5's states and of the pooled prompt, and how many tokens T5 reads in calls."""

TRANSFORMER: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 16,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": LONG,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 2 * POOLED,
    "pos_embed_max_size": 8,
    "dual_attention_layers": (0,),
    "qk_norm": "rms_norm",
}
"""As Stable Diffusion 3.5 medium."""
