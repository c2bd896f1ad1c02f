"""The layout in which Stable Diffusion 3 is published as single files.

The transformer and the autoencoder are read from it. Text encoders come from `config=`, since some
of these files have none, others have T5 in float8, and T5's vocabulary is in none of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.single.layout import Contents, Layout, Network, Piece, SingleFile
from autopipe.errors import WeightsMismatchError
from autopipe_components.original.layout import UNET, VAE, presets
from autopipe_components.original.pieces import vae_pieces

from .original import original_names, swapped_norms

_HEAD = 64
_ABSENT = [f"{what}{n}" for what in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")]

_BLOCK = re.compile(r"joint_blocks\.(\d{1,4})\.(x_block|context_block)\.(.+)")


class StableDiffusion3Layout(Layout):
    """Single files of Stable Diffusion 3 and 3.5, or their transformer alone."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        """See `Layout`."""
        prefix = UNET if any(name.startswith(UNET) for name in file.tensors) else ""
        tensors, usual = file.under(prefix), presets(__package__)
        config = file.config("transformer") or _measured(tensors)
        pieces = dict(_pieces(tensors, config, prefix))
        networks = {"transformer": Network("diffusers", "SD3Transformer2DModel", config, pieces)}
        if not prefix:
            return Contents(networks)
        if autoencoder := file.under(VAE):
            config = file.config("vae") or usual["vae"]
            pieces = vae_pieces(autoencoder, config, VAE)
            networks["vae"] = Network("diffusers", "AutoencoderKL", config, pieces)
        return Contents(
            networks,
            "StableDiffusion3Pipeline",
            {
                "scheduler": ["diffusers", usual["scheduler"]["_class_name"]],
                **{name: [None, None] for name in _ABSENT},
            },
            {"scheduler/scheduler_config.json": usual["scheduler"]},
            assumed=(
                "text encoders are not read from such files; pass config= with the folder of the "
                "same kind of checkpoint, or text_encoder= and so on",
            ),
        )


def _pieces(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Piece]]:
    """Yield the tensors of the transformer by their names here."""
    names, swapped = original_names(config), swapped_norms(config)
    for name in tensors:
        module, dot, kind = (name, "", "") if name in names else name.rpartition(".")
        means = names.get(module, module)
        paths = (means,) if isinstance(means, str) else means
        for part, path in enumerate(paths):
            piece = Piece(prefix + name, part, len(paths), swapped=module in swapped)
            yield path + dot + kind, piece


def _measured(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """Return the config of a transformer as its tensors show it."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        found = tensors[name].shape if name in tensors else ()
        if len(found) != axes or not all(found):
            raise WeightsMismatchError(
                f"the transformer has no tensor {name} with {axes} axes; pass config= with the "
                f"folder of its checkpoint"
            )
        return found

    width, channels, patch, _ = shape("x_embedder.proj.weight", 4)
    blocks = [found for name in tensors if (found := _BLOCK.fullmatch(name))]
    dual = {int(found[1]) for found in blocks if found[3].startswith("attn2.")}
    is_normed = any(found[3] == "attn.ln_q.weight" for found in blocks)
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shape("final_layer.linear.weight", 2)[0] // patch**2,
        "num_layers": 1 + max((int(found[1]) for found in blocks), default=0),
        "attention_head_dim": _HEAD,
        "num_attention_heads": width // _HEAD,
        "joint_attention_dim": shape("context_embedder.weight", 2)[1],
        "caption_projection_dim": width,
        "pooled_projection_dim": shape("y_embedder.mlp.0.weight", 2)[1],
        "pos_embed_max_size": math.isqrt(shape("pos_embed", 3)[1]),
        "dual_attention_layers": sorted(dual),
        "qk_norm": "rms_norm" if is_normed else None,
    }
