"""What every family promises, checked for one of the classes, which are all made alike.

The other tests of this package call each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.small_pipelines import POOLED
from support.tiny import WIDTH, make_text_encoder, make_tokenizer
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe
from autopipe.manifest import Manifest
from autopipe_devkit.conformance import Conformance
from autopipe_devkit.conformance.suite import implied

NAME = "StableDiffusionXLControlNetPAGImg2ImgPipeline"


class TestConformance(Conformance):
    family = "pag"
    size = (16, 16)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", list(implied(self._family())))

    def _family(self) -> Manifest:
        whole = super()._family()
        return replace(whole, pipelines=tuple(p for p in whole.pipelines if p.name == NAME))

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any], tmp_path: Path) -> Any:
        tokenizer = make_tokenizer(tmp_path)
        half = {"hidden_size": WIDTH // 2}
        second = make_text_encoder(
            CLIPTextModelWithProjection, tokenizer, seed=1, projection_dim=POOLED, **half
        )
        return build(
            getattr(autopipe, NAME),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            text_encoder=make_text_encoder(CLIPTextModel, tokenizer, **half),
            text_encoder_2=second,
        )
