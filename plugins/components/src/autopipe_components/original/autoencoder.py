"""The layouts of files that hold an autoencoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.single.layout import Config, Contents, Layout, Network, Piece, SingleFile
from autopipe.errors import WeightsMismatchError

from .configs import vae_config
from .layout import VAE
from .pieces import vae_pieces

_LATENTS = 4
_SCALING = {_LATENTS: 0.18215}
"""The scaling factor by the channels of latents, as far as these tell it."""


class AutoencoderLayout(Layout):
    """Files of an `AutoencoderKL`, with the names of its authors or those here."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        """See `Layout`."""
        prefix = VAE if any(name.startswith(VAE) for name in file.tensors) else ""
        tensors = file.under(prefix)
        is_ours = "encoder.mid_block.resnets.0.conv1.weight" in tensors
        config, assumed = _config(file, tensors)
        pieces = {name: Piece(name) for name in tensors}
        if not is_ours:
            pieces = vae_pieces(tensors, config, prefix)
        networks = {"vae": Network("diffusers", "AutoencoderKL", config, pieces)}
        return Contents(networks, assumed=assumed)


def _config(file: SingleFile, tensors: Mapping[str, TensorInfo]) -> tuple[Config, tuple[str, ...]]:
    given = file.config("vae")
    if given is not None:
        return given, ()
    if file.original is not None:
        return vae_config(file.original), ()
    config = _measured(tensors)
    scaling = _SCALING.get(config["latent_channels"])
    if scaling is None:
        raise WeightsMismatchError(
            f"{file.file} is an autoencoder with {config['latent_channels']} channels of latents, "
            f"whose scaling factor is not known; pass config= with the folder of its checkpoint"
        )
    assumed = (
        f"assumed the scaling factor of Stable Diffusion 1.x and 2.x, {scaling}; for an "
        f"autoencoder of SDXL pass scaling_factor=0.13025"
    )
    return {**config, "scaling_factor": scaling}, (assumed,)


def _measured(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """Return the config of an autoencoder as its tensors show it."""

    def channels(*names: str) -> int:
        for name in names:
            if name in tensors and len(tensors[name].shape) == 4:
                return tensors[name].shape[0]
        raise WeightsMismatchError(
            f"the autoencoder has no tensor {names[0]} with four axes; pass config= with the "
            f"folder of its checkpoint"
        )

    def first(level: int, block: int) -> tuple[str, str]:
        return (
            f"encoder.down.{level}.block.{block}.conv1.weight",
            f"encoder.down_blocks.{level}.resnets.{block}.conv1.weight",
        )

    widths: list[int] = []
    while any(name in tensors for name in first(len(widths), 0)):
        widths.append(channels(*first(len(widths), 0)))
    layers = 0
    while any(name in tensors for name in first(0, layers)):
        layers += 1
    outer = tensors.get("encoder.conv_in.weight")
    inner = tensors.get("decoder.conv_in.weight")
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": outer.shape[1] if outer and len(outer.shape) == 4 else 3,
        "out_channels": channels("decoder.conv_out.weight"),
        "latent_channels": inner.shape[1] if inner and len(inner.shape) == 4 else _LATENTS,
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "norm_num_groups": 32,
        "sample_size": 512,
        "act_fn": "silu",
    }
