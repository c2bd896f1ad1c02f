"""Calls of both pipelines, and how the classes are reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.image_embeddings import DIM, embeds
from support.pictures import picture

from autopipe import (
    AutoPipelineForImageVariation,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableUnCLIPImageNormalizer,
    StableUnCLIPImg2ImgPipeline,
    StableUnCLIPPipeline,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError

KINDS = {StableUnCLIPPipeline: AutoPipelineForText2Image,
         StableUnCLIPImg2ImgPipeline: AutoPipelineForImageVariation}  # fmt: skip
PRIOR = ("prior", "prior_scheduler", "prior_tokenizer", "prior_text_encoder")


def least(kind: Any) -> dict[str, Any]:
    own: dict[str, Any] = {"image": picture()}
    if kind is StableUnCLIPPipeline:
        own = {"prior_num_inference_steps": 2}
    return {"prompt": "a cat", "num_inference_steps": 2, "output_type": "np", **own}


def draw(pipe: Any, **call: Any) -> np.ndarray:
    given = {**least(type(pipe)), **call}
    images: np.ndarray = pipe(**given, generator=torch.Generator().manual_seed(0)).images
    return images


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    *(
        (kind, call, error, words)
        for kind in KINDS
        for call, error, words in (
            ({"noise_level": 1000}, ArgumentError, "from 0 to 999"),
            ({"noise_level": 1.5}, ArgumentTypeError, "noise_level is 1.5; give a whole"),
            ({"callback_steps": 0}, ArgumentError, "callback_steps"),
            ({"height": 12}, ArgumentError, "divisible by 8"),
        )
    ),
    (StableUnCLIPPipeline, {"prior_latents": torch.ones(1, 3)}, ArgumentError, r"\(1, 16\)"),
    (StableUnCLIPPipeline, {"prior_num_inference_steps": 0}, ArgumentError, "inference_steps"),
    (StableUnCLIPPipeline, {"prior_guidance_scale": "x"}, ArgumentTypeError, "guidance_scale"),
    (
        StableUnCLIPPipeline,
        {"prompt": None, "prompt_embeds": torch.ones(1, 12, 16)},
        ArgumentError,
        "the prior reads texts",
    ),
    (StableUnCLIPImg2ImgPipeline, {"image": None}, ArgumentError, "neither image nor image_em"),
    (StableUnCLIPImg2ImgPipeline, {"image_embeds": embeds()}, ArgumentError, "both image and"),
    (
        StableUnCLIPImg2ImgPipeline,
        {"image": None, "image_embeds": torch.ones(1, 3)},
        ArgumentError,
        rf"\(batch, {DIM}\)",
    ),
    (StableUnCLIPImg2ImgPipeline, {"image": [picture()] * 3}, ArgumentError, "3 images for 1"),
]


@pytest.mark.parametrize(("kind", "call", "error", "words"), BAD)
@pytest.mark.usefixtures("idle")
def test_bad_calls(
    build: Callable[..., Any], kind: Any, call: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        draw(build(kind), **call)


def test_components_of_two_checkpoints_are_told(build: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match="load both from one checkpoint"):
        draw(build(StableUnCLIPPipeline, image_normalizer=StableUnCLIPImageNormalizer(8)))


@pytest.mark.parametrize("size", [0, 1 << 20, "wide"])
def test_a_normalizer_of_no_size_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match="embedding_dim"):
        StableUnCLIPImageNormalizer(embedding_dim=size)


def test_what_is_seen_counts(build: Callable[..., Any]) -> None:
    pipe = build(StableUnCLIPImg2ImgPipeline)
    first = draw(pipe)
    for call in ({"image": picture(seed=2)}, {"prompt": "a dog"}, {"noise_level": 900}):
        assert np.abs(draw(pipe, **call) - first).max() > 1e-4
    seen, _ = pipe.encode_image(pipe.image_pixels(picture()), "cpu", 1)
    assert np.abs(draw(pipe, image=None, image_embeds=seen) - first).max() < 1e-5
    # One image serves two prompts in every form.
    both = {"prompt": ["a cat", "a dog"]}
    expected = draw(pipe, **both)
    array = np.asarray(picture())
    for image in ([picture()], array, array / 255, pipe.image_pixels(picture())):
        assert np.abs(draw(pipe, **both, image=image) - expected).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_opens_by_class_and_task(
    build: Callable[..., Any], kind: Any, tmp_path: Path
) -> None:
    pipe = build(kind)
    expected = draw(pipe)
    pipe.save_pretrained(tmp_path / "model")
    for opener in (DiffusionPipeline, KINDS[kind]):
        again = opener.from_pretrained(tmp_path / "model")
        again.set_progress_bar_config(disable=True)
        assert type(again) is kind
        assert np.array_equal(draw(again), expected)


def test_a_prior_is_given_to_a_checkpoint_for_variations(
    build: Callable[..., Any], parts: dict[str, Any], tmp_path: Path
) -> None:
    build(StableUnCLIPImg2ImgPipeline).save_pretrained(tmp_path / "model")
    prior = {name: parts[name] for name in PRIOR}
    pipe = StableUnCLIPPipeline.from_pretrained(tmp_path / "model", **prior)
    pipe.set_progress_bar_config(disable=True)
    expected = draw(build(StableUnCLIPPipeline))
    assert np.array_equal(draw(pipe), expected)
    view = StableUnCLIPPipeline.from_pipe(build(StableUnCLIPImg2ImgPipeline), **prior)
    assert np.array_equal(draw(view), expected)
    back = StableUnCLIPImg2ImgPipeline.from_pipe(
        view, image_encoder=parts["image_encoder"], feature_extractor=parts["feature_extractor"]
    )
    assert back.unet is view.unet
    assert np.array_equal(draw(back), draw(build(StableUnCLIPImg2ImgPipeline)))


@pytest.mark.parametrize("grammar", ["a1111", "compel"])
def test_weighted_prompts_are_for_variations_alone(build: Callable[..., Any], grammar: str) -> None:
    """The prior reads texts of its own, of one length."""
    with pytest.raises(ArgumentError, match="which a StableUnCLIPPipeline doesn't take"):
        build(StableUnCLIPPipeline).attach(grammar)
    pipe = build(StableUnCLIPImg2ImgPipeline)
    plain = draw(pipe, prompt="a cat")
    pipe.attach(grammar)
    text = {"a1111": "a (cat:1.5)", "compel": "a (cat)1.5"}[grammar]
    assert np.abs(draw(pipe, prompt=text) - plain).max() > 1e-6


def test_texts_that_are_encoded_already(build: Callable[..., Any]) -> None:
    pipe = build(StableUnCLIPPipeline)
    with torch.no_grad():
        own = pipe._encode_prior_prompt("a cat", "cpu", 1, False)
        expected = pipe._encode_prior_prompt("a cat", "cpu", 2, True)
        found = pipe._encode_prior_prompt(None, "cpu", 2, True, own[:2], own[2])
    for one, other in zip(found, expected, strict=True):
        assert len(one) == 4
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    with pytest.raises(ArgumentError, match="give text_attention_mask"):
        pipe._encode_prior_prompt(None, "cpu", 2, True, own[:2])
