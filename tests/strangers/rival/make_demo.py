"""Makes the demo checkpoint: `python make_demo.py`."""

from __future__ import annotations

from pathlib import Path

import torch

from autopipe import DDIMScheduler, UNet2DConditionModel
from autopipe_rival.pipeline import RivalPipeline

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8, in_channels=3, out_channels=3, block_out_channels=(4,), layers_per_block=1,
    down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), mid_block_type=None,
    norm_num_groups=2, cross_attention_dim=8, attention_head_dim=2,
)  # fmt: skip
pipe = RivalPipeline(unet.eval(), DDIMScheduler())
pipe.save_pretrained(Path(__file__).parent / "src/autopipe_rival/demo")
