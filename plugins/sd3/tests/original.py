"""Transformers in the layout of their authors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autopipe_components.original.layout import presets

PREFIX = "model.diffusion_model."


def original(state: Mapping[str, Tensor], layers: int, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a transformer under the names of the authors."""
    content = presets("autopipe_sd3")
    modules = {name: [path] for name, path in content["modules"].items()}
    for number in range(layers):
        for stream, names in content["streams"].items():
            for name, paths in names.items():
                block = f"transformer_blocks.{number}"
                modules[f"joint_blocks.{number}.{stream}.{name}"] = [
                    f"{block}.{one}" for one in paths.split()
                ]
    last = f"joint_blocks.{layers - 1}.context_block.adaLN_modulation.1"
    found = {}
    for name, paths in modules.items():
        for kind in ("", ".weight", ".bias"):
            if all(path + kind in state for path in paths):
                joined = torch.cat([state[path + kind] for path in paths])
                if name in (last, "final_layer.adaLN_modulation.1"):
                    # The shift comes first there.
                    joined = torch.cat(joined.chunk(2)[::-1])
                found[f"{prefix}{name}{kind}"] = joined.contiguous()
    assert sum(one.numel() for one in found.values()) == sum(one.numel() for one in state.values())
    return found
