"""The names of the transformer's modules in the code of its authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe_components.original.layout import presets

Names = dict[str, "str | tuple[str, ...]"]
"""The path of a module by another name, or the paths of several whose outputs it joins."""

_NORM = "adaLN_modulation.1"


def original_names(config: Mapping[str, Any]) -> Names:
    """Return the modules of a network by the names of its authors, absent ones too.

    `single_file.json` has the names outside the blocks, and in both streams of a block.

    Args:
        config: of an `SD3Transformer2DModel`.
    """
    content = presets(__package__)
    found: Names = {**content["modules"]}
    for number in range(config["num_layers"]):
        for stream, names in content["streams"].items():
            for name, means in names.items():
                paths = tuple(f"transformer_blocks.{number}.{one}" for one in means.split())
                whole = f"joint_blocks.{number}.{stream}.{name}"
                found[whole] = paths[0] if len(paths) == 1 else paths
    return found


def swapped_norms(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the norms that have shift and scale there in the other order."""
    last = config["num_layers"] - 1
    return f"final_layer.{_NORM}", f"joint_blocks.{last}.context_block.{_NORM}"
