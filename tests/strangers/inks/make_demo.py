"""Makes the small network for sketches: `python make_demo.py`."""

from __future__ import annotations

from pathlib import Path

import torch

from autopipe_inks.network import SketchNetwork

torch.manual_seed(0)
SketchNetwork().eval().save_pretrained(Path(__file__).parent / "src/autopipe_inks/demo")
