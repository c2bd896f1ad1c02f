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
from autopipe.checkpoint.formats.headers import ITEM_BYTES, TensorInfo
from autopipe.checkpoint.single.layout import Layout


def on_meta(cls: Any, config: Mapping[str, Any]) -> nn.Module:
    """Return a network without memory."""
    with WithoutMemory():
        made: nn.Module = cls.from_config(dict(config))
    return made


def sparse_file(file: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "F16") -> Path:
    """Write a safetensors file of zeros, which a file system doesn't store."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        size = ITEM_BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
    return file


def sparse_folder(
    folder: Path, cls: Any, config: Mapping[str, Any], dtype: str = "BF16", shards: int = 2
) -> Path:
    """Write the folder of a network of zeros, whose weights are in shards with an index."""
    folder.mkdir(parents=True)
    content = {"_class_name": cls.__name__, **config}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    shapes = {name: tuple(t.shape) for name, t in on_meta(cls, config).state_dict().items()}
    names, places = list(shapes), {}
    for number in range(shards):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-{shards:05}.safetensors"
        there = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        sparse_file(folder / file, {name: shapes[name] for name in there}, dtype)
        places.update(dict.fromkeys(there, file))
    index = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(index, encoding="utf-8")
    return folder


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
