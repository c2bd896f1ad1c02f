"""The autoencoder in float32 where its config asks for it, beside networks in half precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import AutoencoderKL


@pytest.fixture
def half(build: Callable[..., Any], task: Any) -> Any:
    """A pipeline in bfloat16, which CPUs can compute with, but for an autoencoder in float16."""
    own = build(task.kind).components
    names = ("unet", "text_encoder", "text_encoder_2")
    parts = {name: copy.deepcopy(own[name]).to(torch.bfloat16) for name in names}
    return build(task.kind, **parts, vae=copy.deepcopy(own["vae"]).half())


def test_it_works_in_float32_and_stays_as_it_is(
    half: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []
    for name in ("encode", "decode"):
        whole = getattr(AutoencoderKL, name)

        def watch(self: Any, x: torch.Tensor, *args: Any, _whole: Any = whole) -> Any:
            seen.extend((x.dtype, next(self.parameters()).dtype))
            return _whole(self, x, *args)

        monkeypatch.setattr(AutoencoderKL, name, watch)
    image = half("a cat", **task.call).images
    assert set(seen) == {torch.float32}
    assert image.dtype == torch.float32
    assert bool(torch.isfinite(image).all())
    assert half.vae.dtype == torch.float16


def test_it_stays_in_half_precision_if_the_config_says_so(half: Any, task: Any) -> None:
    half.vae.register_to_config(force_upcast=False)
    image = half("a cat", **task.call).images
    assert image.dtype == torch.float16
