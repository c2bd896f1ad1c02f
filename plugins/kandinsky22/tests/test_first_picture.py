from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.first_picture import check_light

from autopipe import KandinskyV22CombinedPipeline


def test_a_picture_imports_nothing_heavy(build: Callable[..., Any], tmp_path: Path) -> None:
    build(KandinskyV22CombinedPipeline).save_pretrained(tmp_path / "checkpoint")
    steps = {"num_inference_steps": 2, "prior_num_inference_steps": 2}
    call = {"prompt": "a cat", "height": 64, "width": 64, **steps}
    check_light(tmp_path / "checkpoint", call, tmp_path)
