"""Either library opens what the other one saved, with the same keys and the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.saved import same_keys

from autopipe import AutoPipelineForText2Image, StableDiffusion3Pipeline

pytestmark = pytest.mark.parity

test_the_configs_have_the_same_keys = same_keys("sd3")


@pytest.mark.parametrize("absent", [(), ("text_encoder_3", "tokenizer_3")])
def test_pictures_of_each_other(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    tmp_path: Path,
    absent: tuple[str, ...],
) -> None:
    import diffusers

    without = dict.fromkeys(absent)
    ours = build(StableDiffusion3Pipeline, **without)
    ours.save_pretrained(tmp_path / "ours")
    reference(ours).save_pretrained(tmp_path / "theirs")

    def draw(pipe: Any) -> Any:
        pipe.set_progress_bar_config(disable=True)
        source = torch.Generator().manual_seed(0)
        call = {"num_inference_steps": 2, "max_sequence_length": 6, "output_type": "np"}
        return pipe("a cat", generator=source, **call).images

    plain = draw(ours)
    opened = AutoPipelineForText2Image.from_pretrained(tmp_path / "theirs", **without)
    assert np.array_equal(draw(opened), plain)
    theirs = diffusers.StableDiffusion3Pipeline.from_pretrained(tmp_path / "ours", **without)
    # Float32 rounding over two steps.
    np.testing.assert_allclose(draw(theirs), plain, atol=1e-4)
