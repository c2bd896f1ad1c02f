"""Limits of the numbers in the configs of encoders, far above every published one."""

from __future__ import annotations

from collections.abc import Mapping

from autopipe.values import Range

from ..networks.limits import ROWS, SIDE, WIDTH

_SHARE = Range(0, 1)
_LAYERS = Range(0, 256)
_TOKEN = Range(0, 1 << 24)

LIMITS: Mapping[str, Range] = {
    **dict.fromkeys(("hidden_size", "intermediate_size", "projection_dim", "num_channels"), WIDTH),
    **dict.fromkeys(("d_model", "d_kv", "d_ff", "transformerDimSize", "imageDimSize"), WIDTH),
    **dict.fromkeys(("transformerDimensions", "numDims", "project_dim"), WIDTH),
    **dict.fromkeys(("num_attention_heads", "num_heads"), Range(1, 1 << 12)),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "num_decoder_layers"), _LAYERS),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "type_vocab_size"), ROWS),
    **dict.fromkeys(("image_size", "patch_size"), SIDE),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), _TOKEN),
    **dict.fromkeys(("layer_norm_eps", "layer_norm_epsilon"), _SHARE),
    **dict.fromkeys(("attention_dropout", "hidden_dropout_prob", "dropout_rate"), _SHARE),
    **dict.fromkeys(("attention_probs_dropout_prob", "classifier_dropout"), _SHARE),
    "relative_attention_num_buckets": Range(4, 1 << 16),
    "relative_attention_max_distance": Range(1, 1 << 24),
    "initializer_range": Range(0),
    "initializer_factor": Range(0),
}
