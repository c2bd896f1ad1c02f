"""Limits of the numbers in the configs of networks, for all classes.

The upper limits are far above every published network. They keep a damaged config from using up
memory and time.
"""

from __future__ import annotations

from collections.abc import Mapping

from autopipe.values import Range

_LEVELS = 64
"""The largest number of resolutions, and of entries in lists with one per resolution."""

WIDTH = Range(1, 1 << 16, filled=True, longest=_LEVELS)
ROWS = Range(1, 1 << 24)
LAYERS = Range(1, 256, filled=True, longest=_LEVELS)
SIDE = Range(1, 1 << 16, filled=True)
KERNEL = Range(1, 63)
FACTOR = Range(high=1e9, above=0)
PIXEL = Range(-1e9, 1e9, filled=True)

_WIDTHS = (
    *("in_channels", "out_channels", "block_out_channels", "latent_channels", "vq_embed_dim"),
    *("cross_attention_dim", "encoder_hid_dim", "attention_head_dim", "num_attention_heads"),
    *(
        "time_embedding_dim",
        "time_embed_dim",
        "time_cond_proj_dim",
        "addition_time_embed_dim",
        "norm_num_groups",
    ),
    *(
        "attn_norm_num_groups",
        "projection_class_embeddings_input_dim",
        "addition_embed_type_num_heads",
    ),
    *("conditioning_channels", "conditioning_embedding_out_channels"),
    *("embedding_dim", "embedding_proj_dim", "clip_embed_dim", "num_embeddings"),
)

LIMITS: Mapping[str, Range] = {
    **dict.fromkeys(_WIDTHS, WIDTH),
    "num_class_embeds": ROWS,
    "num_embeds_ada_norm": ROWS,
    "num_train_timesteps": ROWS,
    "num_vq_embeddings": ROWS,
    "additional_embeddings": Range(0, 1 << 16),
    "layers_per_block": LAYERS,
    "num_layers": LAYERS,
    "transformer_layers_per_block": Range(0, 256, filled=True, longest=_LEVELS),
    "reverse_transformer_layers_per_block": Range(0, 256, filled=True, longest=_LEVELS),
    "sample_size": SIDE,
    "conv_in_kernel": KERNEL,
    "patch_size": KERNEL,
    "conv_out_kernel": KERNEL,
    "downsample_padding": Range(0, 63),
    "freq_shift": Range(-(1 << 16), 1 << 16),
    "dropout": Range(0, 1),
    "norm_eps": Range(0, 1),
    "mid_block_scale_factor": FACTOR,
    "resnet_out_scale_factor": FACTOR,
    "scaling_factor": FACTOR,
    "shift_factor": PIXEL,
    "latents_mean": PIXEL,
    "latents_std": PIXEL,
    # Lists of names and switches have one entry for each resolution.
    "down_block_types": Range(filled=True, longest=_LEVELS),
    "up_block_types": Range(filled=True, longest=_LEVELS),
    "only_cross_attention": Range(filled=True, longest=_LEVELS),
}
