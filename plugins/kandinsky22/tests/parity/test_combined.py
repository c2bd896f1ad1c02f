"""Prior and decoder as one pipeline against diffusers, and checkpoints both ways."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from support.chains import CombinedParity

import autopipe

pytestmark = pytest.mark.parity


class TestCombined(CombinedParity):
    kinds: ClassVar[dict[str, Any]] = {
        "text2image": autopipe.KandinskyV22CombinedPipeline,
        "image2image": autopipe.KandinskyV22Img2ImgCombinedPipeline,
        "inpaint": autopipe.KandinskyV22InpaintCombinedPipeline,
    }
