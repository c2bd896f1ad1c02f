"""The layout of the authors is read as diffusers reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autopipe import SD3Transformer2DModel

from ..original import PREFIX, original

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("config", [{}, {"qk_norm": None, "dual_attention_layers": ()}])
def test_transformers(
    transformers: Callable[..., Any], tmp_path: Path, config: dict[str, Any]
) -> None:
    import diffusers

    network = transformers(**config)
    network.save_pretrained(tmp_path / "transformer")
    file = tmp_path / "x.safetensors"
    save_file(original(network.state_dict(), network.config, PREFIX), file)
    given = {"config": str(tmp_path), "subfolder": "transformer"}
    ours = SD3Transformer2DModel.from_single_file(file, **given).state_dict()
    theirs = diffusers.SD3Transformer2DModel.from_single_file(str(file), **given).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
