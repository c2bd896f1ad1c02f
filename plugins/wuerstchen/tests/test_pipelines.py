from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.first_picture import check_light
from support.image_embeddings import idle  # noqa: F401
from support.record import parameters_of

import autopipe
from autopipe import (
    WuerstchenCombinedPipeline,
    WuerstchenDecoderPipeline,
    WuerstchenDiffNeXt,
    WuerstchenPriorPipeline,
)
from autopipe.errors import ArgumentError

from .conftest import DECODER

KINDS = [WuerstchenPriorPipeline, WuerstchenDecoderPipeline, WuerstchenCombinedPipeline]
SMALL: dict[str, Any] = {"height": 128, "width": 128}


def least_call(kind: Any) -> dict[str, Any]:
    call = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "pt"}
    if kind is WuerstchenDecoderPipeline:
        return {**call, "image_embeddings": torch.ones(1, 4, 3, 3)}
    own = {"prior_num_inference_steps": 2} if kind is WuerstchenCombinedPipeline else {}
    return {**call, **SMALL, **own}


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
    kind: Any,
) -> None:
    build(kind)(**least_call(kind))
    assert parameters_of(kind) - arguments_read[0] == set()


def test_a_picture_imports_nothing_heavy(build: Callable[..., Any], tmp_path: Path) -> None:
    build(WuerstchenCombinedPipeline).save_pretrained(tmp_path / "checkpoint")
    check_light(tmp_path / "checkpoint", least_call(WuerstchenCombinedPipeline), tmp_path)


@pytest.mark.parametrize("library", ["wuerstchen", "diffusers", "deprecated"])
def test_all_names_of_the_library_are_read(
    build: Callable[..., Any], tmp_path: Path, library: str
) -> None:
    build(WuerstchenCombinedPipeline).save_pretrained(tmp_path)
    file = tmp_path / "model_index.json"
    index = json.loads(file.read_text())
    moved = {"decoder", "vqgan", "prior_prior"}
    assert {index[name][0] for name in moved} == {"wuerstchen"}
    file.write_text(json.dumps({**index, **{n: [library, index[n][1]] for n in moved}}))
    assert isinstance(
        autopipe.DiffusionPipeline.from_pretrained(tmp_path), WuerstchenCombinedPipeline
    )


def test_a_decoder_opens_with_the_prior_that_its_card_names(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    combined = build(WuerstchenCombinedPipeline)
    combined.prior_pipe.save_pretrained(tmp_path / "decoder/prior-checkpoint")
    combined.decoder_pipe.save_pretrained(tmp_path / "decoder")
    card = "---\nprior:\n- prior-checkpoint\n---\n"
    (tmp_path / "decoder/README.md").write_text(card, encoding="utf-8")
    found = autopipe.AutoPipelineForText2Image.from_pretrained(tmp_path / "decoder")
    call = least_call(WuerstchenCombinedPipeline)
    found.set_progress_bar_config(disable=True)
    pictures = [pipe(**call, generator=seed()).images for pipe in (combined, found)]
    assert torch.equal(*pictures)


def test_several_prompts_are_drawn_as_alone(build: Callable[..., Any]) -> None:
    pipe, call = build(WuerstchenCombinedPipeline), least_call(WuerstchenCombinedPipeline)
    prompts, seeds = ["a cat", "dog"], [seed(one) for one in range(4)]
    together = {"prompt": prompts, "num_images_per_prompt": 2, "generator": seeds}
    several = pipe(**{**call, **together}).images
    alone = [
        pipe(**{**call, "prompt": prompts[number // 2], "generator": seed(number)}).images
        for number in range(4)
    ]
    torch.testing.assert_close(several, torch.cat(alone), atol=1e-4, rtol=0)
    assert (several[0] - several[2]).abs().max() > 1e-3


def test_a_callback_replaces_the_image_of_the_prior(build: Callable[..., Any]) -> None:
    pipe, call = build(WuerstchenDecoderPipeline), least_call(WuerstchenDecoderPipeline)

    def drawn(factor: float) -> Any:
        def change(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            return {"image_embeddings": tensors["image_embeddings"] * factor}

        names = ["image_embeddings"]
        watched = {"callback_on_step_end": change, "callback_on_step_end_tensor_inputs": names}
        return pipe(**call, **watched, generator=seed()).images

    assert (drawn(1.0) - drawn(-9.0)).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (WuerstchenDecoderPipeline, {"prompt": None}, "prompt is missing"),
        (WuerstchenDecoderPipeline, {"image_embeddings": torch.ones(4, 3, 3)}, "of one size"),
        (WuerstchenDecoderPipeline, {"image_embeddings": torch.ones(1, 3, 3, 3)}, "3 channels"),
        (WuerstchenDecoderPipeline, {"image_embeddings": torch.ones(1, 4, 0, 3)}, "latent cells"),
        (WuerstchenDecoderPipeline, {"image_embeddings": torch.ones(1, 4, 3, 3).int()}, "floats"),
        (WuerstchenDecoderPipeline, {"prompt": ["a", "b"]}, "2 prompts for 1"),
        (WuerstchenDecoderPipeline, {"latents": torch.ones(1, 4, 8, 8)}, "latents have shape"),
        (WuerstchenPriorPipeline, {"latents": torch.ones(1, 4, 8, 8)}, "latents have shape"),
        (WuerstchenPriorPipeline, {"prompt_embeds": torch.ones(1, 12, 16)}, "got both"),
        (WuerstchenPriorPipeline, {"height": 0}, "height"),
        (WuerstchenPriorPipeline, {"timesteps": [1.0]}, "timesteps"),
        (WuerstchenPriorPipeline, {"timesteps": [2.0, 0.0]}, "timesteps"),
        (WuerstchenCombinedPipeline, {"decoder_latents": torch.ones(1)}, "latents have shape"),
        (WuerstchenCombinedPipeline, {"decoder_timesteps": [0.5]}, "timesteps"),
        (WuerstchenCombinedPipeline, {"output_type": "tiff"}, "output_type"),
    ],
)
def test_a_bad_argument_is_named_before_any_work(
    build: Callable[..., Any],
    idle: None,  # noqa: F811
    kind: Any,
    changes: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises((ArgumentError, autopipe.errors.SchedulerError), match=words):
        build(kind)(**{**least_call(kind), **changes})


def test_checking_the_decoder_takes_no_memory(build: Callable[..., Any]) -> None:
    wide = WuerstchenDiffNeXt(**{**DECODER, "effnet_embd": 1 << 16})
    pipe = build(WuerstchenCombinedPipeline, decoder=wide)
    huge = {"height": 1_000_000, "width": 1_000_000}
    with pytest.raises(ArgumentError, match="memory"):
        pipe(**{**least_call(WuerstchenCombinedPipeline), **huge})
