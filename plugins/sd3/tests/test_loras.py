"""LoRA files by the names of peft and of the network's authors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from support.loras import random_lora

from autopipe import StableDiffusion3Pipeline
from autopipe_lora.formats import read_lora


def test_names_of_peft(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusion3Pipeline)
    layers = ("to_q", "to_out.0", "add_k_proj", "to_add_out", "net.2", "norm1.linear")
    tensors = random_lora({"transformer": pipe.transformer}, layers=layers)

    def draw(**options: Any) -> Any:
        call = {"num_inference_steps": 2, "max_sequence_length": 6, "output_type": "pt"}
        source = torch.Generator().manual_seed(0)
        return pipe("a cat", generator=source, **call, **options).images

    plain = draw()
    pipe.load_lora_weights(tensors, adapter_name="ink")
    assert (draw() - plain).abs().max() > 1e-2
    assert torch.equal(draw(adapters={"ink": 0.0}), plain)


def test_names_of_the_authors(transformers: Callable[..., Any]) -> None:
    network, source = transformers(), torch.Generator().manual_seed(0)
    stem = "lora_unet_joint_blocks_1_context_block_attn_qkv"
    down = torch.randn(2, 16, generator=source)
    up = torch.randn(3 * 16, 2, generator=source)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    found = read_lora(tensors, {}, {"transformer": network}).layers["transformer"]
    block = "transformer_blocks.1.attn"
    assert list(found) == [f"{block}.add_{one}_proj" for one in "qkv"]
    assert torch.equal(torch.cat([one.up for one in found.values()]), up)


def test_every_name_of_the_authors_means_modules_of_the_network(
    transformers: Callable[..., Any],
) -> None:
    for config in ({}, {"qk_norm": None, "dual_attention_layers": ()}):
        network = transformers(**config)
        paths = dict(network.named_modules())
        for name, means in network.original_names.items():
            assert all(one in paths for one in ([means] if isinstance(means, str) else means)), name
        assert ("joint_blocks.0.x_block.attn2.qkv" in network.original_names) == (not config)
