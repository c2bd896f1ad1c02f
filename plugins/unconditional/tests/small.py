"""The networks and pipelines of classes and of sounds, small, with seeded random weights."""

from __future__ import annotations

from typing import Any

from support.tiny import VAE, seeded

from autopipe import (
    AutoencoderKL,
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    DanceDiffusionPipeline,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    IPNDMScheduler,
    UNet1DModel,
    UNet2DModel,
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
CONSISTENT: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "num_class_embeds": 3,
}


def small_dit(**changes: Any) -> Any:
    config = {**DIT, **changes}
    return DiTPipeline(
        seeded(lambda: DiTTransformer2DModel(**config)),
        seeded(lambda: AutoencoderKL(**VAE)),
        DDIMScheduler(),
        id2label=NAMES,
    )


def small_dance(**changes: Any) -> Any:
    config = {**WAVE, **changes}
    return DanceDiffusionPipeline(seeded(lambda: UNet1DModel(**config)), IPNDMScheduler())


def small_consistency(**changes: Any) -> Any:
    config = {**CONSISTENT, **changes}
    network = seeded(lambda: UNet2DModel(**config))
    return ConsistencyModelPipeline(network, CMStochasticIterativeScheduler())


SMALL = {
    "ConsistencyModelPipeline": small_consistency,
    "DanceDiffusionPipeline": small_dance,
    "DiTPipeline": small_dit,
}
"""What makes a pipeline of these classes."""
