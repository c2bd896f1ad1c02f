"""Transformers in the layout of their authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autopipe_sd3.original import original_names, swapped_norms

PREFIX = "model.diffusion_model."


def original(
    state: Mapping[str, Tensor], config: Mapping[str, Any], prefix: str = ""
) -> dict[str, Tensor]:
    """Return the tensors of a transformer under the names of the authors."""
    found, swapped = {}, swapped_norms(config)
    for name, means in original_names(config).items():
        paths = [means] if isinstance(means, str) else means
        for kind in ("", ".weight", ".bias"):
            if all(path + kind in state for path in paths):
                joined = torch.cat([state[path + kind] for path in paths])
                if name in swapped:
                    # The shift comes first there.
                    joined = torch.cat(joined.chunk(2)[::-1])
                found[f"{prefix}{name}{kind}"] = joined.contiguous()
    assert sum(one.numel() for one in found.values()) == sum(one.numel() for one in state.values())
    return found
