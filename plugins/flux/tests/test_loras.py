"""LoRA files by the names of the network's authors; `parity` compares the formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def test_the_first_projection_of_a_single_block_is_four_here(
    transformer: Callable[..., Any],
) -> None:
    from autopipe_lora.formats import read_lora

    network, source = transformer(), torch.Generator().manual_seed(0)
    down = torch.randn(2, 16, generator=source)
    up = torch.randn(3 * 16 + 64, 2, generator=source)
    stem = "lora_unet_single_blocks_1_linear1"
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    found = read_lora(tensors, {}, {"transformer": network}).layers["transformer"]
    block = "single_transformer_blocks.1"
    paths = [*(f"{block}.attn.{name}" for name in ("to_q", "to_k", "to_v")), f"{block}.proj_mlp"]
    assert list(found) == paths
    assert torch.equal(torch.cat([one.up for one in found.values()]), up)


def test_every_name_of_the_authors_means_modules_of_the_network(
    transformer: Callable[..., Any],
) -> None:
    for guided in (True, False):
        network = transformer(guidance_embeds=guided)
        paths = {path for path, _ in network.named_modules()}
        for name, means in network.original_names.items():
            assert {means} <= paths if isinstance(means, str) else {*means} <= paths, name
