"""A single file to measure with: the weights of a checkpoint in the layout of their authors."""

from __future__ import annotations

import os
from pathlib import Path


def file_of(checkpoint: str) -> Path:
    """Return the single file beside the weights of a checkpoint, written if it is absent."""
    target = Path(checkpoint) / "single.safetensors"
    if not target.is_file():
        from autopipe import DiffusionPipeline
        from autopipe.checkpoint.save_single import save_single

        part = target.with_name(f"single-{os.getpid()}.safetensors")
        with DiffusionPipeline.from_pretrained(checkpoint, torch_dtype="auto") as pipe:
            save_single(pipe, part)
        # Several processes may do this at once.
        part.replace(target)
    return target
