"""The watermark, with a stand-in for the package that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from autopipe.errors import ArgumentError
from autopipe_sdxl import watermark
from autopipe_sdxl.watermark import StableDiffusionXLWatermarker

PACKAGE = """
class WatermarkEncoder:
    def set_watermark(self, kind, bits):
        self.told = (kind, len(bits), bits[0])
    def encode(self, image, method):
        assert self.told == ("bits", 48, 1) and method == "dwtDct"
        image = image.copy()
        image[..., 0] = 255.0  # the blue channel of BGR
        return image
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imwatermark.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "imwatermark", raising=False)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "can_watermark", lambda: False)
    monkeypatch.setattr("autopipe_sdxl.steps.can_watermark", lambda: False)


@pytest.mark.usefixtures("installed")
def test_it_marks_large_images_and_leaves_small_ones() -> None:
    mark = StableDiffusionXLWatermarker().apply_watermark
    image = torch.zeros(2, 3, 256, 256)
    marked = mark(image)
    assert torch.equal(marked[:, 2], torch.ones(2, 256, 256))
    # Float32, to 255ths and back.
    torch.testing.assert_close(marked[:, :2], image[:, :2], atol=1e-6, rtol=0)
    for small in (image[..., :255], image[..., :128, :]):
        assert mark(small) is small


@pytest.mark.usefixtures("installed")
def test_it_is_used_if_installed_and_not_turned_off(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watermark, "SMALLEST", 16)
    call = {"num_inference_steps": 1, "output_type": "pt"}
    pipe = build(StableDiffusionXLPipeline, add_watermarker=None)
    assert bool((pipe("a", **call).images[:, 2] == 1).all())
    assert pipe("a", **{**call, "output_type": "latent"}).images.shape == (1, 4, 8, 8)
    plain = build(StableDiffusionXLPipeline, add_watermarker=False)
    assert StableDiffusionXLImg2ImgPipeline.from_pipe(plain).watermark is None
    assert StableDiffusionXLImg2ImgPipeline.from_pipe(pipe).watermark is not None


@pytest.mark.usefixtures("absent")
def test_it_is_not_needed_unless_asked_for(build: Callable[..., Any]) -> None:
    assert build(StableDiffusionXLPipeline, add_watermarker=None).watermark is None
    with pytest.raises(ArgumentError, match="pip install invisible-watermark"):
        build(StableDiffusionXLPipeline, add_watermarker=True)
