"""Makes the demo's training code importable."""

from pathlib import Path

from support.demo_code import open_demo

open_demo("t2i_adapter_demo", Path(__file__).parents[2] / "demo")
