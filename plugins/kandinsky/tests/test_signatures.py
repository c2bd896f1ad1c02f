"""Signatures and what the steps of a call read of its arguments."""

from __future__ import annotations

from typing import Any

import pytest
from support.arguments import arguments_read  # noqa: F401
from support.record import parameters_of, reads_of

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe_kandinsky.image2image import FromImage
from autopipe_kandinsky.inpaint import Repaint
from autopipe_kandinsky.prior import ImageEmbeddingPrior
from autopipe_kandinsky.text2image import FromNoise

EVERY_DECODER = {
    *("image_embeds", "negative_image_embeds", "height", "width", "num_inference_steps"),
    *("guidance_scale", "num_images_per_prompt", "generator", "latents", "output_type"),
    *("return_dict", "callback", "callback_steps", "callback_on_step_end"),
    "callback_on_step_end_tensor_inputs",
}


@pytest.mark.parametrize(
    ("start", "own"),
    [
        (FromNoise, set()),
        (FromImage, {"image", "strength"}),
        (Repaint, {"image", "mask_image", "strength"}),
    ],
)
def test_what_a_decoder_has_to_take(start: type[Any], own: set[str]) -> None:
    class Decoder(start):
        @pipeline_call
        def __call__(self) -> Any:
            return self.run_task()

    assert reads_of(Decoder).needed == EVERY_DECODER | own


def test_a_prior_takes_what_its_steps_need() -> None:
    assert reads_of(ImageEmbeddingPrior).needed == parameters_of(ImageEmbeddingPrior)


def test_what_a_call_reads_is_told(arguments_read: list[set[str]]) -> None:  # noqa: F811
    class Toy(DiffusionPipeline):
        @pipeline_call
        def __call__(self, one: int = 1, two: int = 2, three: int = 3, four: int = 4) -> Any:
            return self.call.one, self.call["two"], self.call.get("three"), self.call.get("five")

    assert Toy()() == (1, 2, 3, None)
    assert arguments_read == [{"one", "two", "three", "five"}]
