"""Writing a demo checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def save(pipe: Any, folder: Path) -> None:
    """Write `pipe` to `folder` in float16, without the places from which its parts came."""
    pipe.to(torch.float16).save_pretrained(folder)
    for file in folder.rglob("*.json"):
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found, dict) and found.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", "utf-8")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes for the owner's eyes alone
