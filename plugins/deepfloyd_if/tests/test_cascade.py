"""Both stages one after the other: what they share, what is computed once, and at the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from support.pictures import mask, picture
from support.records import settings_in
from transformers import T5EncoderModel

from autopipe import (
    DiffusionPipeline,
    IFImg2ImgPipeline,
    IFInpaintingPipeline,
    IFPipeline,
    IFSuperResolutionPipeline,
)
from autopipe.cli import main
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.tasks import Task
from autopipe_components.cascade import FirstStage, cascade, load_stage
from autopipe_components.encoders import t5

STEPS = [{"num_inference_steps": 2}, {"num_inference_steps": 3}]


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each run of the text encoder reads."""
    runs: list[int] = []

    def count(cls: Any) -> None:
        forward = cls.forward

        def counted(self: Any, input_ids: torch.Tensor, **options: Any) -> Any:
            runs.append(len(input_ids))
            return forward(self, input_ids, **options)

        monkeypatch.setattr(cls, "forward", counted)

    count(T5EncoderModel)
    count(t5.T5EncoderModel)
    return runs


@pytest.fixture
def stored(build: Callable[..., Any], unets: Callable[..., Any], tmp_path: Path) -> Path:
    """Checkpoints of both stages, the second of twice the size."""
    build(IFPipeline).save_pretrained(tmp_path / "one")
    build(IFSuperResolutionPipeline, unet=unets(2, sample_size=32)).save_pretrained(
        tmp_path / "two"
    )
    return tmp_path


@pytest.mark.parametrize("alone", [True, False], ids=["without text encoder", "with the same"])
def test_prompts_are_encoded_once(
    build: Callable[..., Any],
    seed: Callable[[int], torch.Generator],
    encodings: list[int],
    alone: bool,
) -> None:
    first = build(IFPipeline)
    assert isinstance(first, FirstStage)
    without = {"text_encoder": None, "tokenizer": None} if alone else {}
    second = build(IFSuperResolutionPipeline, **without)
    output = cascade(
        [first, second], "a cat", negative_prompt="blurry", generator=seed(0), options=STEPS
    )
    assert encodings == [1, 1]
    assert output.images[0].size == (16, 16)


def test_it_is_what_the_stages_make_by_themselves(
    build: Callable[..., Any], seed: Callable[[int], torch.Generator]
) -> None:
    first, second = build(IFPipeline), build(IFSuperResolutionPipeline)
    prompts = ["a cat", "a dog"]
    found = cascade(
        [first, second], prompts, num_images_per_prompt=2, generator=seed(1), options=STEPS,
        output_type="pt",
    ).images  # fmt: skip
    generator = seed(1)
    small = first(
        prompts, num_images_per_prompt=2, num_inference_steps=2, generator=generator,
        output_type="pt",
    ).images  # fmt: skip
    large = second(
        ["a cat", "a cat", "a dog", "a dog"], image=small, num_inference_steps=3,
        generator=generator, output_type="pt",
    ).images  # fmt: skip
    # Texts encoded in batches of two and of four, in float32, then guided.
    torch.testing.assert_close(found, large, atol=5e-4, rtol=0)


def test_prompts_encoded_before(
    build: Callable[..., Any], seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(IFPipeline, unet=None)
    encoded = pipe.encode_for_cascade("a cat", num_images_per_prompt=2)
    without = {"text_encoder": None, "tokenizer": None}
    stages = [build(IFPipeline, **without), build(IFSuperResolutionPipeline, **without)]
    images = cascade(stages, encoded=encoded, generator=seed(0), options=STEPS).images
    assert len(images) == 2


@pytest.mark.parametrize("kind", [IFImg2ImgPipeline, IFInpaintingPipeline])
def test_each_task_has_a_second_stage_of_its_own(
    build: Callable[..., Any],
    unets: Callable[..., Any],
    seed: Callable[[int], torch.Generator],
    stored: Path,
    kind: Any,
) -> None:
    first = build(kind)
    task = next(t for t in Task if getattr(kind, f"__{t.value}__", False))
    second = load_stage(stored / "two", after=first, task=task)
    assert task in type(second).cascade_classes
    assert type(second).__name__ == kind.__name__.replace("Pipeline", "SuperResolutionPipeline")
    for name in first.optional_components():
        assert second.components[name] is first.components[name]
    second.set_progress_bar_config(disable=True)
    original = picture(64, 64)
    call = {"image": original}
    if task is Task.INPAINT:
        call["mask_image"] = mask(64, 64)
    found = cascade([first, second], "a cat", **call, generator=seed(0), options=STEPS)
    (image,) = found.images
    assert image.size == (32, 32)
    if task is Task.INPAINT:
        expected = original.resize((32, 32), PIL.Image.Resampling.BICUBIC)
        assert image.getpixel((1, 1)) == expected.getpixel((1, 1))


def test_loading_a_stage(build: Callable[..., Any], stored: Path, encodings: list[int]) -> None:
    first = DiffusionPipeline.from_pretrained(stored / "one")
    second = load_stage(stored / "two", after=first)
    assert type(second) is IFSuperResolutionPipeline
    assert second.text_encoder is first.text_encoder
    assert load_stage(stored / "two", after=first, text_encoder=None).text_encoder is None
    with pytest.raises(ArgumentError, match="IFPipeline takes no image"):
        load_stage(stored / "one", after=first)
    with pytest.raises(ArgumentTypeError, match="after is a str"):
        load_stage(stored / "two", after="one")


@pytest.mark.parametrize(
    "placed",
    [
        [],
        ["--offload", "model"],
        ["--offload", "sequential"],
        ["--memory", "10KB", "--offload-folder", "offloaded"],
    ],
)
def test_the_command_line(
    placed: list[str], stored: Path, monkeypatch: pytest.MonkeyPatch, encodings: Any
) -> None:
    monkeypatch.chdir(stored)
    line = ["--model", "one", "--upscale", "two", "--seed", "3", "--num-images", "2"]
    line += ["--steps", "2", "--steps", "3", "--device", "cpu", *placed]
    assert main(["generate", "a cat", *line, "-q", "-o", "cat.png"]) == 0
    with PIL.Image.open("cat-2.png") as image:
        assert image.size == (32, 32)
        assert settings_in(image.filename)["upscale"] == ["two"]
        assert settings_in(image.filename)["upscale_steps"] == [3]
        assert settings_in(image.filename)["class"] == "IFPipeline"
    assert encodings == [1, 1]
