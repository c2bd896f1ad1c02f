"""Makes the demo checkpoint: `python make_demo.py`."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen3Config

from autopipe import DDIMScheduler
from autopipe_clips.network import ClipsNetwork, ClipsReader
from autopipe_clips.pipeline import LETTERS, ClipsPipeline

torch.manual_seed(0)
reader = ClipsReader(
    Qwen3Config(
        vocab_size=LETTERS, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=4, initializer_range=1.0,
    )
)  # fmt: skip
scheduler = DDIMScheduler(prediction_type="sample")
pipe = ClipsPipeline(reader.eval(), ClipsNetwork().eval(), scheduler)
pipe.save_pretrained(Path(__file__).parent / "src/autopipe_clips/demo")
