from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.first_picture import check_light

from autopipe import StableDiffusionPipeline


def test_a_picture_that_a_safety_checker_sees_imports_nothing_heavy(
    build: Callable[..., Any], checkers: Any, feature_extractor: Any, tmp_path: Path
) -> None:
    parts = {"safety_checker": checkers(2), "feature_extractor": feature_extractor}
    build(StableDiffusionPipeline, **parts).save_pretrained(tmp_path / "checkpoint")
    call = {"prompt": "a cat", "num_inference_steps": 2}
    check_light(tmp_path / "checkpoint", call, tmp_path)
