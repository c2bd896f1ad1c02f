"""Corrects known errors in configs of early checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def correct_scheduler(scheduler: Any, corrections: Mapping[str, Any]) -> Any:
    """Return `scheduler`, or a corrected copy if its config differs from `corrections`.

    Stable Diffusion was trained with the corrected values, but configs of early checkpoints have
    others. The caller's scheduler is not changed.
    """
    if scheduler is None:
        return None
    changes = {
        name: value
        for name, value in corrections.items()
        if scheduler.config.get(name, value) != value
    }
    if not changes:
        return scheduler
    corrected = scheduler.copy()
    corrected.register_to_config(**changes)
    return corrected


def correct_sample_size(unet: Any) -> None:
    """Set a `sample_size` below 64 to 64 in configs of diffusers before 0.9, where it is wrong.

    The U-Net itself does not use it; it is the default size of pipelines.
    """
    if unet is None:
        return
    release = re.findall(r"\d+", unet.config.get("_diffusers_version") or "")
    size = unet.config.get("sample_size")
    if release and tuple(map(int, release[:2])) < (0, 9) and isinstance(size, int) and size < 64:
        unet.register_to_config(sample_size=64)
