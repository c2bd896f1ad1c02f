"""Captions, encoded prompts, safety checker and watermark against diffusers."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import picture

from autopipe import IFPipeline, IFPipelineOutput
from autopipe_deepfloyd_if import timesteps
from autopipe_deepfloyd_if.captions import prepare_captions

pytestmark = pytest.mark.parity

SNIPPETS = (
    *("http://a.com/b", "www.foo.it", "https:/x", "foo.net", "a@b.org", "<person>", "<b>x</b>"),
    *("&quot;", "&amp;", "&lt;i&gt;", "@nick", "#12", "#1234", "#123456", "1234567", "1:23 "),
    *("192.168.0.1", "\\n", "img.png", '""', "''", "...", "***", "jc6640", "jc6640vc", "6640vc231"),
    *("worldwide free shipping", "free download free", "click for more", "png images", "page 12"),
    *("j2d1a2a", "10x20", "3.5х4", "a : b", "a,b", "x.y/z", " . ", "–", "«q»", "‘z’", "漢字"),
    *("-", "_", "a-b-c-d-e", "%20", "+", "100%", "'", '"', ";", ":", ",", ".", "  ", "\t"),
    *("A Photo", "of", "a cat", "Ã©tÃ©", "½", "(x)", "[y]", "{z}", "|", "\\", "/", "<", "&", "é"),
)


@pytest.mark.parametrize("seed", range(4))
def test_captions(seed: int) -> None:
    """Random pieces in random order, so that what one rule leaves is met by the others."""
    pytest.importorskip("bs4")
    pytest.importorskip("ftfy")
    import diffusers

    theirs = diffusers.IFPipeline.__new__(diffusers.IFPipeline)
    source = random.Random(seed)
    for _ in range(500):
        pieces = source.choices(SNIPPETS, k=source.randint(1, 7))
        text = "".join(piece + source.choice(("", " ", " ")) for piece in pieces)
        expected = theirs._text_preprocessing(text, clean_caption=True)
        assert prepare_captions([text], clean=True) == expected, text


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": "A Cat "},
        {"prompt": ["a cat", "a dog " * 60]},
        {"prompt": ["a cat", "a dog"], "negative_prompt": ["blurry", ""]},
        {"prompt": "a cat", "do_classifier_free_guidance": False, "negative_prompt": "blurry"},
        {"prompt": "a cat", "num_images_per_prompt": 3},
        {"prompt": None, "prompt_embeds": torch.ones(2, 5, 24)},
    ],
    ids=str,
)
@pytest.mark.parametrize("alone", [False, True], ids=["with U-Net", "alone"])
def test_encoded_prompts(
    build: Callable[..., Any], reference: Callable[[Any], Any], call: dict[str, Any], alone: bool
) -> None:
    ours = build(IFPipeline, **({"unet": None} if alone else {}))
    theirs = reference(ours)
    for found, expected in zip(ours.encode_prompt(**call), theirs.encode_prompt(**call)):
        assert (found is None) == (expected is None)
        if expected is not None:
            # Hidden states of the order of 1, in float32, of equal texts encoded once.
            torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("thresholds", [{}, {"p_threshold": -20.0}, {"w_threshold": -20.0}])
def test_the_safety_checker(
    checkers: Callable[..., Any], twin: Callable[[Any], Any], thresholds: dict[str, float]
) -> None:
    ours = checkers()
    theirs = twin(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    source = torch.Generator().manual_seed(2)
    seen = torch.randn(3, 3, 16, 16, generator=source)
    images = torch.rand(3, 8, 8, 3, generator=source).numpy()
    ours.p_head.bias.data.zero_()
    ours.p_head.weight.data.mul_(20)
    theirs.load_state_dict(ours.state_dict())
    found = ours(seen, images, **thresholds)
    expected = theirs(seen, images.copy(), **thresholds)
    assert np.array_equal(found[0], expected[0])
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("sample_size", [None, 32, 64, 1024])
@pytest.mark.parametrize("size", [(64, 64), (64, 100), (200, 120), (1030, 1040)])
def test_the_watermark(
    watermarker: Any, twin: Callable[[Any], Any], size: tuple[int, int], sample_size: int | None
) -> None:
    images = [picture(*size), picture(*size, seed=3)]
    theirs: list[Image.Image] = copy.deepcopy(images)
    returned = watermarker.apply_watermark(images, sample_size)
    twin(watermarker).apply_watermark(theirs, sample_size)
    assert returned is images
    for found, expected in zip(images, theirs):
        assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_fields_of_the_output() -> None:
    from diffusers.pipelines.deepfloyd_if import IFPipelineOutput as theirs

    fields = list(inspect.signature(theirs).parameters)
    assert list(inspect.signature(IFPipelineOutput).parameters) == fields


def test_published_schedules() -> None:
    from diffusers.pipelines.deepfloyd_if import timesteps as theirs

    names = [name for name in vars(theirs) if name.endswith("_timesteps")]
    assert len(names) == 8
    for name in names:
        assert getattr(timesteps, name) == getattr(theirs, name)
