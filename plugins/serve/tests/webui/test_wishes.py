from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autopipe_serve.settings import Settings
from autopipe_serve.webui.bodies import Options, Text2Image
from autopipe_serve.webui.wishes import Wishes, enlarged_size, second_pass


def _wishes(addons: dict[str, Any]) -> Wishes:
    registry: Any = SimpleNamespace(of=lambda kind: addons, families={})
    return Wishes(Options(), ["m"], lambda: ["ink"], registry, Settings(folder=Path()))


def test_weights_of_words_are_read_where_that_is_installed() -> None:
    body = Text2Image(prompt="a (red:1.3) fox", negative_prompt="fog")
    wish = _wishes({"a1111": None}).read(body, "text2image")
    assert wish.given["addons"] == [{"addon": "a1111"}]
    assert wish.given["prompt"] == "a (red:1.3) fox"
    assert wish.comments == []


def test_weights_of_words_that_are_not_read_are_noted() -> None:
    wish = _wishes({}).read(Text2Image(prompt="a fox", negative_prompt="[fog]"), "text2image")
    assert "addons" not in wish.given
    assert "autopipe-prompts" in wish.comments[0]


def test_plain_prompts_need_nothing() -> None:
    wish = _wishes({"a1111": None}).read(Text2Image(prompt="a fox, 4k"), "text2image")
    assert "addons" not in wish.given
    assert "negative_prompt" not in wish.given


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"hr_scale": 1.5}, (96, 48)),
        ({"hr_scale": 1.55}, (96, 48)),
        ({"hr_resize_x": 128}, (128, 64)),
        ({"hr_resize_y": 100}, (200, 96)),
        ({"hr_resize_x": 80, "hr_resize_y": 80}, (80, 80)),
    ],
)
def test_sizes_of_the_second_pass(given: dict[str, Any], size: tuple[int, int]) -> None:
    assert enlarged_size(Text2Image(width=64, height=32, **given)) == size


def test_the_second_pass_is_like_the_first_where_nothing_else_is_said() -> None:
    first = Text2Image(
        prompt="a", steps=7, sampler_name="DDIM", hr_sampler_name="Use same sampler",
        hr_checkpoint_name="Use same checkpoint",
    )  # fmt: skip
    second = second_pass(first)
    assert (second.prompt, second.steps, second.sampler_name) == ("a", 7, "DDIM")
    assert second.override_settings.sd_model_checkpoint is None
    other = second_pass(first.model_copy(update={"hr_checkpoint_name": "m"}))
    assert other.override_settings.sd_model_checkpoint == "m"
