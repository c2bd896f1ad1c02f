"""Makes the demo's training code importable."""

from pathlib import Path

from support.demo_code import open_demo

open_demo("upscale_demo", Path(__file__).parents[2] / "demo")
