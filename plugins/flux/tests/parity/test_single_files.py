"""Which rows of the authors' tensors are whose: as diffusers takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.checkpoint.single.layout import SingleFile
from autopipe.checkpoint.single.tensors import Tensors
from autopipe_flux.original import LAST_NORM, original_names
from autopipe_flux.single_file import FluxLayout

pytestmark = pytest.mark.parity

CONFIG: dict[str, Any] = {"num_layers": 1, "num_single_layers": 1, "guidance_embeds": True}
WIDTH = 3072
"""The width that diffusers assumes. Columns don't matter, so that one is enough."""


def authored() -> dict[str, torch.Tensor]:
    names = {**original_names(CONFIG), LAST_NORM[0]: LAST_NORM[1]}
    parts = {"mod.lin": 6, "modulation.lin": 3, "qkv": 3, "linear1": 7, LAST_NORM[0]: 2}
    found: dict[str, torch.Tensor] = {}
    for number, name in enumerate(names):
        rows = WIDTH * next((n for end, n in parts.items() if name.endswith(end)), 1)
        values = torch.arange(rows, dtype=torch.float64) + number * 1e6
        if name.endswith("_norm"):
            found[f"{name}.scale"] = values
        else:
            found |= {f"{name}.weight": values[:, None], f"{name}.bias": -values}
    return found


def test_rows() -> None:
    from diffusers.loaders.single_file_utils import (
        convert_flux_transformer_checkpoint_to_diffusers,
    )

    file = Tensors(Path("x.safetensors"), authored())
    contents = FluxLayout.read(SingleFile(file.file, file.infos, config=lambda _: CONFIG))
    weights = contents.networks["transformer"].weights
    found = file.taken(weights, lambda name, dtype: dtype)
    expected = convert_flux_transformer_checkpoint_to_diffusers(authored())
    assert found.keys() == expected.keys()
    assert [name for name, one in expected.items() if not torch.equal(found[name], one)] == []
