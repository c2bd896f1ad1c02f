"""What the kit checks: this package's manifest, and one class with a ControlNet.

The other classes are made in the same way, and the parity tests call each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny import WIDTH, make_text_encoder, make_tokenizer
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe
from autopipe import Task
from autopipe.registry import default_registry
from autopipe_devkit.conformance.checks import OF_A_FAMILY, OF_A_MEMBER, OF_A_TASK
from autopipe_devkit.conformance.subject import Subject

from .conftest import POOLED

NAME = "StableDiffusionXLControlNetPAGImg2ImgPipeline"
CHECKS = (
    *("saves", "seed", "unseeded", "untouched", "batch", "neighbours", "threads", "overlap"),
    *("callback", "cancel", "copies", "progress", "views", "tasks", "placement"),
    *("attachments", "effects", "guidance", "refusals"),
)


@pytest.mark.parametrize("family", ["pag"])
@pytest.mark.parametrize("name", ["manifest", "light", "targets", "conditions", "addons"])
def test_the_manifest(family: str, name: str) -> None:
    OF_A_FAMILY[name](default_registry().families[family])


@pytest.fixture(scope="module")
def made() -> dict[str, Path]:
    return {}


@pytest.fixture
def folder(
    build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, made: dict[str, Path]
) -> Path:
    if not made:
        tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
        half = {"hidden_size": WIDTH // 2}
        second = make_text_encoder(
            CLIPTextModelWithProjection, tokenizer, seed=1, projection_dim=POOLED, **half
        )
        pipe = build(
            getattr(autopipe, NAME),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            text_encoder=make_text_encoder(CLIPTextModel, tokenizer, **half),
            text_encoder_2=second,
        )
        made["folder"] = tmp_path_factory.mktemp("checkpoint")
        pipe.save_pretrained(made["folder"])
    return made["folder"]


@pytest.mark.parametrize("name", CHECKS)
def test_a_class_keeps_the_promises(name: str, folder: Path, tmp_path: Path) -> None:
    family = default_registry().families["pag"]
    pipeline = next(one for one in family.pipelines if one.name == NAME)
    check = {**OF_A_MEMBER, **OF_A_TASK}[name]
    check(Subject(family, pipeline, folder, tmp_path, Task.IMAGE2IMAGE, size=(16, 16)))
