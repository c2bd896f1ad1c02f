"""The indexes and configs of public checkpoints, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
"""A folder with a subfolder for each checkpoint, named as on the Hub."""


def public_config(network: str) -> dict[str, Any]:
    """Return the config of a network, given by its folder: `stable-diffusion-v1-5/unet`."""
    config: dict[str, Any] = json.loads(
        (CHECKPOINTS / network / "config.json").read_text(encoding="utf-8")
    )
    return config
