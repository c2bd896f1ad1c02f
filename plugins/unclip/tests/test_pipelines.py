from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.first_picture import check_light
from support.image_embeddings import (
    DIM,
    embeds,
    idle,  # noqa: F401
)
from support.pictures import picture
from support.record import parameters_of
from support.tiny import TOKENS

import autopipe
from autopipe import UnCLIPImageVariationPipeline, UnCLIPPipeline
from autopipe.errors import ArgumentError, SchedulerError

KINDS = [UnCLIPPipeline, UnCLIPImageVariationPipeline]
STEPS: dict[str, Any] = {"num_inference_steps": 2, "super_res_num_inference_steps": 2}


def least_call(kind: Any) -> dict[str, Any]:
    if kind is UnCLIPPipeline:
        return {"prompt": "a cat", "prior_num_inference_steps": 2, **STEPS, "output_type": "pt"}
    return {"image": picture(), **STEPS, "output_type": "pt"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
    kind: Any,
) -> None:
    steps = {"num_inference_steps": None, "decoder_num_inference_steps": 2}
    build(kind)(**{**least_call(kind), **steps})
    assert parameters_of(kind) - arguments_read[0] == set()


def test_a_picture_imports_nothing_heavy(build: Callable[..., Any], tmp_path: Path) -> None:
    build(UnCLIPPipeline).save_pretrained(tmp_path / "checkpoint")
    check_light(tmp_path / "checkpoint", least_call(UnCLIPPipeline), tmp_path)


@pytest.mark.parametrize("library", ["unclip", "diffusers", "deprecated"])
def test_all_names_of_the_library_are_read(
    build: Callable[..., Any], tmp_path: Path, library: str
) -> None:
    ours = build(UnCLIPPipeline)
    ours.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["text_proj"] == ["unclip", "UnCLIPTextProjModel"]
    index["text_proj"] = [library, "UnCLIPTextProjModel"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    found = autopipe.DiffusionPipeline.from_pretrained(tmp_path)
    for name, value in found.text_proj.state_dict().items():
        assert torch.equal(value, ours.text_proj.state_dict()[name])


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (UnCLIPPipeline, {"prompt": None}, "neither prompt nor"),
        (UnCLIPPipeline, {"text_model_output": (embeds(), embeds())}, "both prompt and"),
        (
            UnCLIPPipeline,
            {"prompt": None, "text_model_output": (embeds(), torch.ones(1, TOKENS, DIM))},
            "text_attention_mask",
        ),
        (
            UnCLIPPipeline,
            {
                "prompt": None,
                "text_model_output": 5,
                "text_attention_mask": torch.ones(1, TOKENS),
            },
            r"text_model_output\[0\]",
        ),
        (UnCLIPPipeline, {"prior_latents": torch.ones(1, DIM + 1)}, "latents have shape"),
        (UnCLIPPipeline, {"super_res_latents": torch.ones(1, 3, 8, 8)}, "latents have shape"),
        (UnCLIPPipeline, {"height": 17}, "divisible by 2"),
        (UnCLIPPipeline, {"prior_callback_on_step_end_tensor_inputs": ["image"]}, "image"),
        (UnCLIPImageVariationPipeline, {"image": None}, "neither image nor"),
        (UnCLIPImageVariationPipeline, {"image": torch.ones(1, 3, 8, 8)}, "3, 16, 16"),
        (
            UnCLIPImageVariationPipeline,
            {"image": None, "image_embeddings": torch.ones(1, 3)},
            "image_embeddings must be",
        ),
    ],
)
def test_a_bad_argument_is_named_before_any_work(
    build: Callable[..., Any],
    idle: None,  # noqa: F811
    kind: Any,
    changes: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(ArgumentError, match=words):
        build(kind)(**{**least_call(kind), **changes})


@pytest.mark.parametrize("stage", ["prior", "decoder", "super_res"])
def test_one_step_is_refused_before_any_work(
    build: Callable[..., Any],
    idle: None,  # noqa: F811
    stage: str,
) -> None:
    call = {**least_call(UnCLIPPipeline), "num_inference_steps": None}
    with pytest.raises(SchedulerError, match="at least 2 steps"):
        build(UnCLIPPipeline)(**{**call, f"{stage}_num_inference_steps": 1})


def test_networks_of_different_checkpoints_are_refused(build: Callable[..., Any]) -> None:
    pipe = build(UnCLIPPipeline, super_res_last=build(UnCLIPPipeline).decoder)
    with pytest.raises(ArgumentError, match="networks of one checkpoint"):
        pipe(**least_call(UnCLIPPipeline))


def test_the_last_step_has_a_network_of_its_own(build: Callable[..., Any]) -> None:
    pipe = build(UnCLIPPipeline)
    asked = []
    hooks = [
        pipe.components[name].register_forward_pre_hook(lambda *_, name=name: asked.append(name))
        for name in ("super_res_first", "super_res_last")
    ]
    pipe(**{**least_call(UnCLIPPipeline), "super_res_num_inference_steps": 4})
    for hook in hooks:
        hook.remove()
    assert asked == ["super_res_first"] * 3 + ["super_res_last"]


def test_each_stage_can_be_watched_and_left_early(build: Callable[..., Any]) -> None:
    steps: list[str] = []

    def leave(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        steps.append(type(run).__name__)
        run._interrupt = True

    watch = {"callback_on_step_end": leave, "prior_callback_on_step_end": leave}
    images = build(UnCLIPPipeline)(**{**least_call(UnCLIPPipeline), **watch}).images
    assert steps == ["UnCLIPPrior", "UnCLIPDecoder"]
    assert images.isfinite().all()


def test_another_size(build: Callable[..., Any]) -> None:
    call = {**least_call(UnCLIPPipeline), "height": 24, "width": 32}
    assert build(UnCLIPPipeline)(**call).images.shape == (1, 3, 24, 32)


@pytest.mark.parametrize(("scale", "rows"), [(0.5, 2), (1.0, 1), (4.0, 2)])
def test_a_scale_below_1_mixes_if_the_other_stage_is_guided(
    build: Callable[..., Any], scale: float, rows: int
) -> None:
    pipe, seen = build(UnCLIPPipeline), []
    handle = pipe.prior.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    pipe(**least_call(UnCLIPPipeline), prior_guidance_scale=scale)
    handle.remove()
    assert seen == [rows, rows]
