"""Makes the two small checkpoints: `python make_demo.py`."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3Model

from autopipe import DDIMScheduler
from autopipe_shapes.edit import LETTERS, ShapesEditPipeline
from autopipe_shapes.network import ShapesNetwork
from autopipe_shapes.unconditional import ShapesPipeline

torch.manual_seed(0)
network, scheduler = ShapesNetwork().eval(), DDIMScheduler(prediction_type="sample")
reader = Qwen3Model(
    Qwen3Config(
        vocab_size=LETTERS, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=4, initializer_range=1.0,
    )
)  # fmt: skip
package = Path(__file__).parent / "src/autopipe_shapes"
ShapesPipeline(network, scheduler).save_pretrained(package / "demo")
ShapesEditPipeline(reader.eval(), network, scheduler).save_pretrained(package / "demo_edit")
