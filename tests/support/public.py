"""Metadata of public checkpoints: their indexes and configs, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
"""A folder for each checkpoint, under its name on the Hub."""


def public_config(network: str) -> dict[str, Any]:
    """The config of a network, named by its folder: `stable-diffusion-v1-5/unet`."""
    config: dict[str, Any] = json.loads(
        (CHECKPOINTS / network / "config.json").read_text(encoding="utf-8")
    )
    return config
