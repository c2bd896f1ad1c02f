"""Files with the names and shapes of published checkpoints, whose values take no space."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.single.layout import Layout

HALF = 2
"""Bytes of a float16."""


def on_meta(cls: Any, config: Mapping[str, Any]) -> nn.Module:
    """Return a network without memory."""
    with WithoutMemory():
        made: nn.Module = cls.from_config(dict(config))
    return made


def sparse_file(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """Write a safetensors file of float16 zeros, which a file system doesn't store."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        size = HALF * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
    return file


def layout_shapes(
    layout: type[Layout], pipeline: str, networks: Mapping[str, nn.Module]
) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of a single file with these networks."""
    states = {name: one.state_dict() for name, one in networks.items()}
    components = {
        name: (
            dict(networks[name].config),
            {n: TensorInfo("F16", tuple(t.shape), 0, 0) for n, t in state.items()},
        )
        for name, state in states.items()
    }
    plan = layout.write(pipeline, components)
    assert plan is not None
    found = {}
    for name, one in plan.items():
        parts = [states[one.component][part] for part in one.names]
        whole = torch.cat(parts)
        whole = whole.t() if one.transposed else whole
        found[name] = (*whole.shape, *((1, 1) if one.kernel else ()))
    return found
