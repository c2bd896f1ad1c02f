"""What is this family's own: its text encoder, and the names under which indexes have it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.chains import least_call
from support.first_picture import check_light
from support.record import parameters_of

from autopipe import (
    AltDiffusionImg2ImgPipeline,
    AltDiffusionPipeline,
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    RobertaSeriesModelWithTransformation,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError

ENCODER = "RobertaSeriesModelWithTransformation"
KINDS = (AltDiffusionPipeline, AltDiffusionImg2ImgPipeline)


@pytest.fixture
def checkpoint(build: Callable[..., Any], tmp_path: Path) -> Path:
    build(AltDiffusionPipeline).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("library", ["alt_diffusion", "diffusers", "deprecated"])
def test_indexes_name_the_text_encoder_in_several_ways(checkpoint: Path, library: str) -> None:
    file = checkpoint / "model_index.json"
    index = json.loads(file.read_text("utf-8"))
    assert index["text_encoder"] == ["alt_diffusion", ENCODER]
    file.write_text(json.dumps({**index, "text_encoder": [library, ENCODER]}), "utf-8")
    pipe = AutoPipelineForText2Image.from_pretrained(checkpoint)
    assert type(pipe.text_encoder) is RobertaSeriesModelWithTransformation
    assert pipe.index()["text_encoder"] == ["alt_diffusion", ENCODER]


def test_the_tasks_share_components(checkpoint: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(checkpoint)
    assert type(pipe) is AltDiffusionPipeline
    other = AutoPipelineForImage2Image.from_pipe(pipe)
    assert type(other) is AltDiffusionImg2ImgPipeline
    assert other.text_encoder is pipe.text_encoder


def test_the_states_that_are_projected(text_encoders: Callable[..., Any]) -> None:
    ids = torch.tensor([[0, 7, 9, 2, 1, 1]])
    plain, early = text_encoders(), text_encoders(has_pre_transformation=True)
    with torch.no_grad():
        found = plain(ids, output_hidden_states=True)
        last = plain.transformation(found.hidden_states[-1])
        torch.testing.assert_close(found.projection_state, last, atol=0, rtol=0)
        found = early(ids, output_hidden_states=True)
        last_but_one = early.transformation_pre(early.pre_LN(found.hidden_states[-2]))
        torch.testing.assert_close(found.projection_state, last_but_one, atol=0, rtol=0)
        assert early(ids).hidden_states is None
        assert torch.equal(early(ids, return_dict=False)[0], found[0])


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"project_dim": 10**12}, ConfigError),
        ({"project_dim": -1}, ConfigError),
        ({"project_dim": "wide"}, ConfigError),
        ({"num_hidden_layers": 10**6}, ConfigError),
        ({"is_decoder": True}, ConfigError),
    ],
)
def test_configs_that_are_refused(
    checkpoint: Path, entry: dict[str, Any], error: type[Exception]
) -> None:
    file = checkpoint / "text_encoder" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **entry}), "utf-8")
    with pytest.raises(error, match=next(iter(entry))):
        AltDiffusionPipeline.from_pretrained(checkpoint)


def test_skipped_layers_are_refused(build: Callable[..., Any]) -> None:
    pipe = build(AltDiffusionPipeline)
    pipe("a cat", clip_skip=0, num_inference_steps=1)
    with pytest.raises(ArgumentError, match="clip_skip is 1"):
        pipe("a cat", clip_skip=1, num_inference_steps=1)
    with pytest.raises(ArgumentTypeError, match="clip_skip"):
        pipe("a cat", clip_skip="x", num_inference_steps=1)
    with pytest.raises(ArgumentError, match="clip_skip is 2"):
        pipe.encode_prompt("a cat", None, 1, True, clip_skip=2)


def test_a_first_picture_imports_nothing_heavy(checkpoint: Path, tmp_path: Path) -> None:
    check_light(checkpoint, {"prompt": "a cat", "num_inference_steps": 1}, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    kind: Any,
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    build(kind)(**least_call(kind))
    assert parameters_of(kind) - arguments_read[0] == set()
