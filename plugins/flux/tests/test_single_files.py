"""Transformers in single files, by the names of their authors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from autopipe import FluxTransformer2DModel
from autopipe.errors import (
    QuantizedWeightsError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from autopipe_flux.original import LAST_NORM, original_names


def authored(network: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a network as its authors have them."""
    state: Mapping[str, Tensor] = network.state_dict()
    found: dict[str, Tensor] = {}
    names = {**original_names(network.config), LAST_NORM[0]: LAST_NORM[1]}
    for name, means in names.items():
        paths = (means,) if isinstance(means, str) else means
        for kind in ("weight", "bias"):
            parts = [state[f"{path}.{kind}"] for path in paths if f"{path}.{kind}" in state]
            if not parts:
                continue
            tensor = torch.cat(parts)
            if name == LAST_NORM[0]:
                scale, shift = tensor.chunk(2)
                tensor = torch.cat([shift, scale])
            last = "scale" if name.endswith("_norm") else kind
            found[f"{prefix}{name}.{last}"] = tensor
    return found


def same(one: Any, other: Any) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("guided", [True, False])
def test_the_weights_of_a_file(
    transformer: Callable[..., Any], tmp_path: Path, prefix: str, guided: bool
) -> None:
    network = transformer(guidance_embeds=guided)
    network.save_pretrained(tmp_path / "transformer")
    file = tmp_path / "x.safetensors"
    save_file(authored(network, prefix), file)
    found = FluxTransformer2DModel.from_single_file(file, config=tmp_path, subfolder="transformer")
    assert same(found, network)
    assert found.config["num_attention_heads"] == network.config["num_attention_heads"]


def test_the_config_of_a_published_size_is_told_by_the_tensors(
    transformer: Callable[..., Any], tmp_path: Path
) -> None:
    network = transformer(
        attention_head_dim=128,
        num_attention_heads=1,
        axes_dims_rope=(16, 56, 56),
        num_layers=1,
        num_single_layers=2,
        in_channels=8,
        out_channels=4,
    )
    save_file(authored(network), tmp_path / "x.safetensors")
    found = FluxTransformer2DModel.from_single_file(tmp_path / "x.safetensors")
    assert same(found, network)
    for name in ("num_layers", "num_single_layers", "guidance_embeds", "out_channels"):
        assert found.config[name] == network.config[name]


def test_other_files_are_refused(transformer: Callable[..., Any], tmp_path: Path) -> None:
    file, tensors = tmp_path / "x.safetensors", authored(transformer())
    save_file(tensors, file)
    with pytest.raises(UnsupportedCheckpointError, match=r"heads of 8 channels.*pass config="):
        FluxTransformer2DModel.from_single_file(file)
    save_file({n: one for n, one in tensors.items() if not n.startswith("img_in")}, file)
    with pytest.raises(WeightsMismatchError, match=r"img_in\.weight"):
        FluxTransformer2DModel.from_single_file(file)
    quantised = tmp_path / "x.gguf"
    quantised.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(QuantizedWeightsError, match="GGUF"):
        FluxTransformer2DModel.from_single_file(quantised)
