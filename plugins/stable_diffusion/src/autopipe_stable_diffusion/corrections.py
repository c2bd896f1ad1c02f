"""What configs of early checkpoints have wrong, and everybody who loads them puts right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def correct_scheduler(scheduler: Any, corrections: Mapping[str, Any]) -> Any:
    """`scheduler`, or a copy of it if its config has one of the options at another value.

    Stable Diffusion was trained with these values, and the configs of early checkpoints lack
    them. The caller's scheduler stays as it is.
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
    """Put 64 for a smaller `sample_size` into a config of a release before 0.9, where it is wrong.

    The U-Net itself does not use it; pipelines take their default size from it.
    """
    if unet is None:
        return
    release = re.findall(r"\d+", unet.config.get("_diffusers_version") or "")
    size = unet.config.get("sample_size")
    if release and tuple(map(int, release[:2])) < (0, 9) and isinstance(size, int) and size < 64:
        unet.register_to_config(sample_size=64)
