"""The layout in which the authors publish the transformer as a single file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.single.layout import Contents, Layout, Network, Piece, SingleFile
from autopipe.errors import UnsupportedCheckpointError, WeightsMismatchError

from .original import LAST_NORM, original_names

PREFIX = "model.diffusion_model."
"""What other programs put before the names."""

_AXES = {128: (16, 56, 56)}
"""The parts of a head for the axes of a position, by the width of a head."""

_SCALE = "scale"
"""The name of the weight of a norm there."""


class FluxLayout(Layout):
    """A `FluxTransformer2DModel`, by the names of its authors."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        """See `Layout`."""
        prefix = PREFIX if any(name.startswith(PREFIX) for name in file.tensors) else ""
        tensors = file.under(prefix)
        config = file.config("transformer")
        if config is None:
            config = _measured(file, tensors)
        pieces = dict(_pieces(tensors, config, prefix))
        network = Network("diffusers", "FluxTransformer2DModel", config, pieces)
        return Contents({"transformer": network})


def _pieces(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Piece]]:
    """Yield the tensors of the network, by the names here."""
    names = original_names({"guidance_embeds": True, **config})
    for name in tensors:
        module, _, last = name.rpartition(".")
        weight = "weight" if last == _SCALE else last
        means = names.get(module)
        if module == LAST_NORM[0]:
            yield f"{LAST_NORM[1]}.{weight}", Piece(prefix + name, swapped=True)
        elif isinstance(means, str):
            yield f"{means}.{weight}", Piece(prefix + name)
        elif means is None:
            yield name, Piece(prefix + name)
        else:
            # The feed-forward layer of a single block is four times as wide as a projection.
            parts = 3 if len(means) == 3 else 7
            for part, path in enumerate(means):
                count = 1 if part < 3 else 4
                yield f"{path}.{weight}", Piece(prefix + name, part, parts, count=count)


def _measured(file: SingleFile, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """Return the config of a network as its tensors show it."""

    def shape(name: str, axes: int = 2) -> tuple[int, ...]:
        found = tensors.get(name)
        if found is None or len(found.shape) != axes:
            raise WeightsMismatchError(
                f"{file.file} has no tensor {name} with {axes} axes; fetch the file again, or pass "
                f"config= with the folder of its checkpoint"
            )
        return found.shape

    def count(blocks: str) -> int:
        numbers = {name.split(".")[1] for name in tensors if name.startswith(f"{blocks}.")}
        return len(numbers)

    width, channels = shape("img_in.weight")
    (head,) = shape("double_blocks.0.img_attn.norm.query_norm.scale", 1)
    if head not in _AXES or width % head:
        raise UnsupportedCheckpointError(
            f"{file.file} has a transformer with heads of {head} channels, whose config can't be "
            f"told from its tensors; pass config= with the folder of the same kind of checkpoint"
        )
    made = shape("final_layer.linear.weight")[0]
    return {
        "_class_name": "FluxTransformer2DModel",
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": None if made == channels else made,
        "num_layers": count("double_blocks"),
        "num_single_layers": count("single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shape("txt_in.weight")[1],
        "pooled_projection_dim": shape("vector_in.in_layer.weight")[1],
        "guidance_embeds": any(name.startswith("guidance_in.") for name in tensors),
        "axes_dims_rope": list(_AXES[head]),
    }
