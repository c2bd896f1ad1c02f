"""The safety checker, with embeddings made so that the similarities are known."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import CLIPImageProcessor

from autopipe import StableDiffusionPipeline
from autopipe.errors import ArgumentError

IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.fixture
def checker(checkers: Callable[[float], Any]) -> Any:
    return checkers(2.0)


@pytest.fixture
def seen() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def similarity(checker: Any, seen: torch.Tensor, concepts: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        embeds = checker.visual_projection(checker.vision_model(seen).pooler_output)
    return normalize(embeds) @ normalize(concepts).T


def flags(checker: Any, seen: torch.Tensor, images: Any = IMAGES) -> list[bool]:
    return checker(clip_input=seen, images=images)[1]


def test_an_image_is_flagged_where_it_passes_a_threshold(checker: Any, seen: torch.Tensor) -> None:
    closeness = similarity(checker, seen, checker.concept_embeds)[:, 5]
    first = int(closeness.argmax())
    checker.concept_embeds_weights[5] = closeness.mean()
    expected = [i == first for i in range(2)]
    found, flagged = checker(clip_input=seen, images=IMAGES)
    assert flagged == expected
    assert torch.count_nonzero(found[first]) == 0
    assert torch.equal(found[1 - first], IMAGES[1 - first])
    assert IMAGES.min() > 0, "the caller's images are left alone"


def test_scores_are_rounded_to_three_decimals(checker: Any, seen: torch.Tensor) -> None:
    closest = similarity(checker, seen, checker.concept_embeds)[:, 0].max()
    checker.concept_embeds_weights[0] = closest - 0.0004
    assert not any(flags(checker, seen))
    checker.concept_embeds_weights[0] = closest - 0.0006
    assert any(flags(checker, seen))


def test_special_care_brings_concepts_closer(checker: Any, seen: torch.Tensor) -> None:
    closest = similarity(checker, seen, checker.concept_embeds)[:, 0]
    index = int(closest.argmax())
    checker.concept_embeds_weights[0] = closest[index] + 0.008
    assert not any(flags(checker, seen))
    special = similarity(checker, seen, checker.special_care_embeds)
    checker.special_care_embeds_weights[1] = special[index, 1] - 0.01
    assert flags(checker, seen)[index]


def test_arrays_and_lists_of_images(checkers: Callable[[float], Any], seen: torch.Tensor) -> None:
    strict = checkers(-2.0)
    array = IMAGES.permute(0, 2, 3, 1).numpy()
    found, flagged = strict(clip_input=seen, images=array)
    assert flagged == [True, True]
    assert isinstance(found, np.ndarray)
    assert not found.any()
    assert array.all()
    listed, _ = strict(clip_input=seen, images=list(array))
    assert not any(one.any() for one in listed)


def test_names_of_the_weights(checker: Any) -> None:
    names = set(checker.state_dict())
    assert {
        "concept_embeds",
        "concept_embeds_weights",
        "special_care_embeds",
        "special_care_embeds_weights",
        "visual_projection.weight",
    } == {name for name in names if not name.startswith("vision_model.")}
    assert checker.concept_embeds.shape == (17, 8)
    assert checker.special_care_embeds.shape == (3, 8)


@pytest.mark.parametrize("given", ["constructor", "assigned", "view"])
def test_a_function_as_safety_checker(build: Any, task: Any, given: str) -> None:
    seen: list[Any] = []

    def checker(images: torch.Tensor, **others: Any) -> Any:
        seen.append((images.shape, sorted(others)))
        return images * 0 - 1, [True] * len(images)

    pipe = build(task.kind, **({"safety_checker": checker} if given == "constructor" else {}))
    if given != "constructor":
        pipe.safety_checker = checker
    if given == "view":
        pipe = type(pipe).from_pipe(pipe)
    output = pipe(**{**task.call, "num_images_per_prompt": 2})
    assert seen == [((2, 3, 16, 16), ["clip_input"])]
    assert output.nsfw_content_detected == [True, True]
    pipe.safety_checker = lambda images, **k: (images, False)
    assert pipe(**task.call).nsfw_content_detected == [False]
    pipe.safety_checker = None
    assert pipe(**task.call).nsfw_content_detected is None


@pytest.mark.parametrize("way", ["function", "method", "partial"])
def test_a_function_is_given_to_a_load_and_left_out_of_a_save(
    build: Any, folder: Any, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Mine:
        def check(self, images: Any, **k: Any) -> Any:
            return images, [False] * len(images)

    checker = {
        "function": lambda images, **k: (images, [False] * len(images)),
        "method": Mine().check,
        "partial": functools.partial(lambda flags, images, **k: (images, flags), False),
    }[way]
    build(StableDiffusionPipeline).save_pretrained(folder)
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=checker)
    assert pipe.safety_checker == checker
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a", num_inference_steps=2).nsfw_content_detected == [False]
    pipe.save_pretrained(folder / "again")
    assert "safety_checker is a function, which can't be saved" in caplog.text
    index = json.loads((folder / "again" / "model_index.json").read_text("utf-8"))
    assert index["safety_checker"] == [None, None]
    assert not (folder / "again" / "safety_checker").exists()
    again = StableDiffusionPipeline.from_pretrained(folder / "again")
    assert again.safety_checker is None
    pipe.text_encoder = checker
    with pytest.raises(ArgumentError, match="text_encoder"):
        pipe.save_pretrained(folder / "never")
    assert not (folder / "never").exists()


def test_a_config_of_the_first_releases(build: Any, checker: Any, tmp_path: Path) -> None:
    """It wrote out every entry, of the unused text half too, null where nothing was meant."""
    extractor = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    build(
        StableDiffusionPipeline, safety_checker=checker, feature_extractor=extractor
    ).save_pretrained(tmp_path)
    file = tmp_path / "safety_checker/config.json"
    config = json.loads(file.read_text())
    nulls = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "prefix")
    for half in ("text_config", "vision_config"):
        config[half].update(dict.fromkeys(nulls), sep_token_id=None, torch_dtype=None)
    config.update(text_config_dict={"num_attention_heads": 2}, torch_dtype="float32")
    file.write_text(json.dumps(config))
    again = StableDiffusionPipeline.from_pretrained(tmp_path).safety_checker
    assert torch.equal(again.concept_embeds, checker.concept_embeds)


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_it_is_shown_colours_where_there_are_more_channels(
    build: Any, checker: Any, feature_extractor: Any, kind: str
) -> None:
    seen: list[Any] = []

    def extract(pictures: Any, **options: Any) -> Any:
        seen.extend((one.mode, one.size) for one in pictures)
        return feature_extractor(pictures, **options)

    pipe = build(
        StableDiffusionPipeline, safety_checker=checker, feature_extractor=feature_extractor
    )
    pipe.feature_extractor = extract
    pixels: Any = torch.zeros(2, 6, 16, 16)
    if kind == "array":
        pixels = np.zeros((2, 16, 16, 6), np.float32)
    found, flagged = pipe.run_safety_checker(pixels, "cpu", torch.float32)
    assert found.shape == pixels.shape
    assert flagged == [False, False]
    assert seen == [("RGB", (16, 16))] * 2
