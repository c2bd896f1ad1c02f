from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.first_picture import check_light

from autopipe import IFPipeline


def test_a_picture_that_a_safety_checker_sees_imports_nothing_heavy(
    build: Callable[..., Any],
    checkers: Callable[..., Any],
    feature_extractor: Any,
    watermarker: Any,
    tmp_path: Path,
) -> None:
    pipe = build(
        IFPipeline,
        safety_checker=checkers(),
        feature_extractor=feature_extractor,
        watermarker=watermarker,
    )
    pipe.save_pretrained(tmp_path / "checkpoint")
    call = {"prompt": "a red cat", "num_inference_steps": 2}
    # They clean captions; ftfy brings wcwidth, and bs4 the other two.
    cleaning = ("ftfy", "wcwidth", "bs4", "charset_normalizer", "soupsieve")
    check_light(tmp_path / "checkpoint", call, tmp_path, needed=(*cleaning, "cython_runtime"))
