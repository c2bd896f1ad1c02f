"""Stages one after another, with pipelines that write down what they get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.cascade import FirstStage, cascade


class Stage:
    """Remembers its call; its image tells who made it of what."""

    def __init__(self, name: str, text_encoder: object = None) -> None:
        self.name = name
        self.text_encoder = text_encoder
        self.got: dict[str, Any] = {}

    def _made(self, **got: Any) -> SimpleNamespace:
        self.got = {name: value for name, value in got.items() if value is not None}
        return SimpleNamespace(images=f"{self.name}({got.get('image') or ''})")


class Text(Stage):
    def __call__(self, prompt=None, generator=None, output_type="pil", steps=None):
        return self._made(**{k: v for k, v in locals().items() if k != "self"})


class Enlarge(Stage):
    def __call__(
        self, prompt=None, negative_prompt=None, image=None, prompt_embeds=None, generator=None,
        output_type="pil", level=None,
    ):  # fmt: skip
        return self._made(**{k: v for k, v in locals().items() if k != "self"})


class EnlargePart(Stage):
    def __call__(
        self, prompt=None, image=None, original_image=None, mask_image=None, generator=None,
        output_type="pil",
    ):  # fmt: skip
        return self._made(**{k: v for k, v in locals().items() if k != "self"})


class Encoding(Enlarge):
    cascade_components = ("text_encoder",)

    def encode_for_cascade(self, prompt, negative_prompt=None, num_images_per_prompt=1):
        return {"prompt_embeds": (prompt, negative_prompt, num_images_per_prompt)}


def test_each_stage_gets_what_the_one_before_has_made() -> None:
    stages = [Text("one", object()), Enlarge("two", object()), Enlarge("three", object())]
    given = cascade(stages, "a cat", generator="noise", options=[{"steps": 3}, {"level": 7}])
    assert given.images == "three(two(one()))"
    assert stages[0].got == {
        "prompt": "a cat", "generator": "noise", "output_type": "pt", "steps": 3,
    }  # fmt: skip
    assert stages[1].got == {
        "prompt": "a cat", "image": "one()", "generator": "noise", "output_type": "pt", "level": 7,
    }  # fmt: skip
    assert stages[2].got == {
        "prompt": "a cat", "image": "two(one())", "generator": "noise", "output_type": "pil",
    }  # fmt: skip


def test_prompts_are_encoded_once_for_stages_that_read_them() -> None:
    encoder = object()
    first = Encoding("one", encoder)
    assert isinstance(first, FirstStage)
    stages = [first, Enlarge("two"), Enlarge("three", encoder), Enlarge("four", object())]
    cascade(stages, "a cat", negative_prompt="dog", num_images_per_prompt=2)
    for stage in stages[:3]:
        assert stage.got["prompt_embeds"] == ("a cat", "dog", 2)
        assert "prompt" not in stage.got
    assert stages[3].got["prompt"] == ["a cat", "a cat"]
    assert stages[3].got["negative_prompt"] == ["dog", "dog"]
    assert "prompt_embeds" not in stages[3].got


def test_prompts_may_be_encoded_before() -> None:
    stages = [Encoding("one"), Enlarge("two")]
    cascade(stages, encoded={"prompt_embeds": "known"})
    assert [stage.got["prompt_embeds"] for stage in stages] == ["known", "known"]


def test_later_stages_get_the_original_where_they_take_one() -> None:
    stages = [EnlargePart("one"), EnlargePart("two"), Enlarge("three")]
    cascade(stages, ["a", "b"], image="photo", mask_image="mask", num_images_per_prompt=2)
    assert stages[0].got["prompt"] == ["a", "a", "b", "b"]
    assert (stages[0].got["image"], stages[0].got["mask_image"]) == ("photo", "mask")
    assert "original_image" not in stages[0].got
    assert stages[1].got["image"] == "one(photo)"
    assert stages[1].got["original_image"] == "photo"
    assert stages[1].got["mask_image"] == "mask"
    assert set(stages[2].got) == {"prompt", "image", "output_type"}


def test_stages_that_do_not_fit_are_refused_before_any_work() -> None:
    first = Text("one")
    for stages, options, error, words in (
        ([], [], ArgumentError, "at least one"),
        ([first, Text("two")], [], ArgumentError, "Text takes no image"),
        ([first], [{}, {}], ArgumentError, "2 stages and 1"),
        ([first], ["steps"], ArgumentTypeError, "options holds a str"),
        ([first, Enlarge("two")], [{}, {"lvel": 7}], ArgumentTypeError, "mean 'level'"),
        ([first], [{"generator": "noise"}], ArgumentError, "give it to cascade itself"),
        (first, [], ArgumentTypeError, "not a list of pipelines"),
        ([first, 5], [], ArgumentTypeError, "not a list of pipelines"),
    ):
        with pytest.raises(error, match=words):
            cascade(stages, "a cat", options=options)
    for call, error, words in (
        ({"num_images_per_prompt": "2"}, ArgumentTypeError, "give a whole number"),
        ({"num_images_per_prompt": 0}, ArgumentError, "give 1 or more"),
        ({"encoded": 5}, ArgumentTypeError, "encode_for_cascade"),
    ):
        with pytest.raises(error, match=words):
            cascade([first], "a cat", **call)
    assert first.got == {}
