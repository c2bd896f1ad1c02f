"""Pipelines of classes and of sounds, on networks small enough to run in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.tiny import VAE, seeded

import autopipe
from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    DiTTransformer2DModel,
    IPNDMScheduler,
    UNet1DModel,
)

DIT: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 2,
    "out_channels": 8,
    "sample_size": 4,
    # The one number of classes with which the class of none is that of diffusers.
    "num_embeds_ada_norm": 1000,
}
NAMES = {"0": "cat, kitty", "2": "dog"}
WAVE: dict[str, Any] = {
    "sample_size": 24,
    "sample_rate": 20,
    "extra_in_channels": 16,
    "block_out_channels": (32, 32),
    "down_block_types": ("DownBlock1DNoSkip", "AttnDownBlock1D"),
    "up_block_types": ("AttnUpBlock1D", "UpBlock1DNoSkip"),
    "time_embedding_dim": 16,
}
TRAJECTORY: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 8,
    "time_embedding_type": "positional",
    "use_timestep_embedding": True,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "act_fn": "mish",
    "block_out_channels": (8, 16),
    "down_block_types": ("DownResnetBlock1D",) * 2,
    "up_block_types": ("UpResnetBlock1D",),
    "mid_block_type": "MidResTemporalBlock1D",
    "out_block_type": "OutConv1DBlock",
}
VALUE: dict[str, Any] = {
    **TRAJECTORY,
    "block_out_channels": (8, 32),
    "up_block_types": (),
    "mid_block_type": "ValueFunctionMidBlock1D",
    "out_block_type": "ValueFunction",
    "downsample_each_block": True,
}
SMALL: dict[str, Callable[..., dict[str, Any]]] = {
    "DanceDiffusionPipeline": lambda **changes: {
        "unet": seeded(lambda: UNet1DModel(**{**WAVE, **changes}), seed=5),
        "scheduler": IPNDMScheduler(),
    },
    "DiTPipeline": lambda **changes: {
        "transformer": seeded(lambda: DiTTransformer2DModel(**{**DIT, **changes}), seed=6),
        "vae": seeded(lambda: AutoencoderKL(**VAE), seed=7),
        "scheduler": DDIMScheduler(),
        "id2label": NAMES,
    },
}
"""What makes the components of pipelines on other networks, whose config may be changed."""


def small(name: str, **changes: Any) -> Any:
    """A pipeline of `SMALL`, with the given components, options, or entries of the config."""
    kind: Any = getattr(autopipe, name)
    own = {one: changes.pop(one) for one in list(changes) if one not in kind.init_parameters()}
    pipe = kind(**{**SMALL[name](**own), **changes})
    pipe.set_progress_bar_config(disable=True)
    return pipe
