"""A pipeline of transformers: a text encoder with tied weights, and blocks that denoise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.blocks import Tower
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.placement.budget import fit, footprints_of

WIDTH, DEPTH = 16, 3


class Denoiser(Tower):
    """Blocks whose 16 channels belong to patches of 2 x 2 cells, trained on 32 x 32 cells."""

    sample_width: ClassVar[int] = WIDTH // 4
    trained_sample_size: ClassVar[int] = 32


class TextPipeline(DiffusionPipeline):
    """Steps from tokens to a picture of numbers."""

    model_cpu_offload_seq = "text_encoder->transformer"

    text_encoder: Any
    transformer: Any

    def __init__(self, text_encoder: Any, transformer: Any) -> None:
        self.register_modules(text_encoder=text_encoder, transformer=transformer)

    @pipeline_call
    def __call__(self, steps: int = 2) -> Tensor:
        device = self._execution_device
        tokens = torch.tensor([[3, 5, 7]], device=device)
        x: Tensor = self.text_encoder(tokens).last_hidden_state
        for _ in range(steps):
            x = self.transformer(x)
        return x


@pytest.fixture
def pipe() -> TextPipeline:
    torch.manual_seed(0)
    config = T5Config(
        d_model=WIDTH, d_ff=32, d_kv=8, num_layers=2, num_heads=2, vocab_size=40,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    encoder = T5EncoderModel(config).to(torch.bfloat16).eval()
    return TextPipeline(encoder, Denoiser(WIDTH, DEPTH).to(torch.bfloat16).eval())


WAYS: dict[str, Callable[[TextPipeline, Path], object]] = {
    "model": lambda pipe, folder: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": lambda pipe, folder: pipe.enable_sequential_cpu_offload(device="cpu"),
    "map": lambda pipe, folder: pipe.set_device_map(
        {"text_encoder": "disk", "transformer": "cpu"}, offload_folder=folder
    ),
    "balanced": lambda pipe, folder: pipe.set_device_map("balanced"),
    "auto": lambda pipe, folder: pipe.set_device_map(
        "auto", max_memory={"cpu": "10KB"}, offload_folder=folder
    ),
    "budget": lambda pipe, folder: pipe.fit_memory("10KB", device="cpu", offload_folder=folder),
}


@pytest.mark.parametrize("way", WAYS)
def test_transformers_draw_the_same_wherever_they_are(
    way: str, pipe: TextPipeline, tmp_path: Path
) -> None:
    expected = pipe()
    before = {name: tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items()}
    WAYS[way](pipe, tmp_path)
    for _ in range(2):
        assert torch.equal(pipe(), expected)
    pipe.remove_all_hooks()
    assert torch.equal(pipe(), expected)
    after = pipe.text_encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert pipe.text_encoder.shared.weight is pipe.text_encoder.encoder.embed_tokens.weight


@pytest.mark.parametrize(
    "device_map", ["auto", "sequential", {"": "cpu", "blocks.1": "disk"}, {"blocks": "disk"}]
)
def test_the_parts_of_one_network_are_its_blocks(device_map: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = Denoiser(WIDTH, DEPTH).to(torch.bfloat16).eval()
    tower.save_pretrained(tmp_path / "tower", max_shard_size="4KB")
    x = torch.randn(1, 5, WIDTH, dtype=torch.bfloat16)
    block = sum(tensor.nbytes for tensor in tower.blocks[0].parameters())
    limits = None if isinstance(device_map, dict) else {"cpu": 2 * block + 1}
    loaded = Denoiser.from_pretrained(
        tmp_path / "tower", torch_dtype="auto", device_map=device_map, max_memory=limits,
        offload_folder=tmp_path / "disk",
    )  # fmt: skip
    assert "disk" in loaded.hf_device_map.values()
    assert set(loaded.hf_device_map) <= {"", "blocks", *(f"blocks.{n}" for n in range(DEPTH))}
    with torch.no_grad():
        assert torch.equal(loaded(x), tower(x))


def test_a_budget_leaves_room_for_what_blocks_compute(pipe: TextPipeline) -> None:
    found = {one.name: one for one in footprints_of(pipe._networks(), pipe._pool.roles())}
    work = found["transformer"].work
    assert work == 1.25 * 24 * WIDTH // 4 * 32 * 32 * 2
    assert found["text_encoder"].work == 0
    weights = sum(one.weights for one in found.values())
    for budget, title in (
        (weights + work, "resident"),
        (weights + work - 1, "model offload"),
        (max(one.weights + one.work for one in found.values()) - 1, "sequential offload"),
    ):
        placement, choice = fit(pipe._networks(), pipe._pool.roles(), budget, device="meta")
        assert (placement.title, choice.fits) == (title, True)
