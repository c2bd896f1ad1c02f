"""Half precision, in which checkpoints are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import StableDiffusion3Pipeline


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("absent", [(), ("text_encoder_3", "tokenizer_3")])
def test_half_precision_draws_about_the_same(
    build: Callable[..., Any], tmp_path: Path, dtype: torch.dtype, absent: tuple[str, ...]
) -> None:
    whole = build(StableDiffusion3Pipeline, **dict.fromkeys(absent))
    whole.save_pretrained(tmp_path)
    half = StableDiffusion3Pipeline.from_pretrained(tmp_path, torch_dtype=dtype)
    assert half.transformer.dtype is dtype

    def draw(pipe: Any) -> Any:
        pipe.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": 3, "max_sequence_length": 6, "output_type": "latent"}
        noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
        return pipe("a cat", latents=noise, **call).images

    found, expected = draw(half), draw(whole)
    assert found.dtype is dtype
    # Eight bits of bfloat16 over three steps under guidance, for latents of about unit variance.
    assert (found.float() - expected).abs().mean() < 0.1
