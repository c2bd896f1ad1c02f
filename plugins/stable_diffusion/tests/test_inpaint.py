"""Inpainting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import StableDiffusionInpaintPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError

COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
PICTURE = Image.fromarray(COLOURS)
MASK = Image.new("L", (16, 16))
MASK.paste(255, (4, 4, 12, 12))
INSIDE = np.asarray(MASK) > 0
CALL = {"image": PICTURE, "mask_image": MASK, "num_inference_steps": 2}


@pytest.fixture
def pipe(build: Callable[..., Any]) -> Any:
    return build(StableDiffusionInpaintPipeline)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"image": None}, ArgumentError),
        ({"mask_image": None}, ArgumentError),
        ({"mask_image": "mask.png"}, ArgumentTypeError),
        ({"image": torch.zeros(1, 3, 16, 16), "mask_image": torch.zeros(16, 24)}, ArgumentError),
        ({"mask_image": torch.zeros(3, 1, 16, 16), "image": torch.zeros(3, 16, 16)}, ArgumentError),
        ({"height": 17}, ArgumentError),
        ({"width": "16"}, ArgumentTypeError),
        ({"strength": 2}, ArgumentError),
        ({"strength": 0.1}, ArgumentError),
        ({"latents": torch.zeros(1, 4, 4, 4)}, ArgumentError),
        ({"masked_image_latents": [1]}, ArgumentTypeError),
        ({"padding_mask_crop": 4, "output_type": "np"}, ArgumentError),
        ({"padding_mask_crop": 4, "image": torch.zeros(3, 16, 16)}, ArgumentTypeError),
        ({"padding_mask_crop": -1}, ArgumentError),
        ({"paste_unmasked": True, "output_type": "latent"}, ArgumentError),
        ({"image": torch.zeros(1, 4, 8, 8), "paste_unmasked": True}, ArgumentError),
    ],
    ids=str,
)
def test_bad_calls_are_refused_before_any_work(
    pipe: Any, bad: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="|".join((*bad, "masks"))):
        pipe("a cat", **{**CALL, **bad})


@pytest.mark.usefixtures("idle")
def test_a_unet_of_five_channels_is_refused(
    build: Callable[..., Any], unets: Callable[..., Any]
) -> None:
    pipe = build(StableDiffusionInpaintPipeline, unet=unets(in_channels=5, out_channels=4))
    with pytest.raises(ArgumentError, match="5"):
        pipe("a cat", **CALL)


@pytest.mark.parametrize("channels", [4, 9])
def test_pasting_keeps_every_unmasked_byte(
    build: Callable[..., Any], unets: Callable[..., Any], channels: int
) -> None:
    unet = unets(in_channels=channels, out_channels=4)
    pipe = build(StableDiffusionInpaintPipeline, unet=unet)

    def paint(paste: bool) -> np.ndarray:
        seeded = torch.Generator().manual_seed(0)
        return np.asarray(pipe("a", **CALL, paste_unmasked=paste, generator=seeded).images[0])

    plain, pasted = paint(False), paint(True)
    assert (pasted[~INSIDE] == COLOURS[~INSIDE]).all()
    assert (plain[~INSIDE] != COLOURS[~INSIDE]).any()
    assert (pasted[INSIDE] == plain[INSIDE]).all()


def test_the_latents_outside_the_mask_are_those_of_the_image(pipe: Any) -> None:
    """A U-Net that doesn't see the mask has the original back after the last step."""
    original = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    found = pipe("a cat", **{**CALL, "image": original, "output_type": "latent"}).images
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert torch.equal(found[..., ~inside], original[..., ~inside])
    assert not torch.isclose(found[..., inside], original[..., inside], atol=1e-3).all()


def test_a_crop_changes_nothing_outside_the_mask(pipe: Any) -> None:
    large = PICTURE.resize((40, 32), Image.Resampling.NEAREST)
    mask = Image.new("L", large.size)
    mask.paste(255, (10, 8, 18, 16))
    (found,) = pipe(
        "a cat", **{**CALL, "image": large, "mask_image": mask}, padding_mask_crop=2
    ).images
    assert found.size == large.size
    outside = np.asarray(mask) == 0
    assert (np.asarray(found)[outside] == np.asarray(large)[outside]).all()
    assert (np.asarray(found)[~outside] != np.asarray(large)[~outside]).any()


@pytest.mark.parametrize("pad", [0, 3])
def test_a_crop_has_the_padding_that_is_asked_for(
    pipe: Any, pad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is worked on is the marked part with so many pixels around it, enlarged."""
    seen: list[Any] = []
    encode = pipe.vae.encode
    monkeypatch.setattr(pipe.vae, "encode", lambda x, *a, **k: seen.append(x) or encode(x, *a, **k))
    large = Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8))
    mask = Image.new("L", large.size)
    mask.paste(255, (16, 20, 24, 28))
    call = {**CALL, "image": large, "mask_image": mask}
    pipe("a cat", **call, padding_mask_crop=pad, height=16, width=16)
    region = large.crop((16 - pad, 20 - pad, 24 + pad, 28 + pad))
    expected = pipe.image_processor.preprocess(region, 16, 16)
    assert torch.equal(seen[0], expected)


def test_sizes(pipe: Any) -> None:
    call = {**CALL, "output_type": "np"}
    assert pipe("a", **call, height=24, width=10).images.shape == (1, 24, 10, 3)
    assert pipe("a", **call, height=24).images.shape == (1, 24, 16, 3)
    larger = {"image": PICTURE.resize((40, 32)), "mask_image": MASK.resize((20, 20))}
    assert pipe("a", **{**call, **larger}).images.shape == (1, 16, 16, 3)


MASKS = {
    "bytes": np.asarray(MASK),
    "booleans": INSIDE,
    "a channel": np.asarray(MASK)[..., None],
    "colours": np.asarray(MASK.convert("RGB")),
    "16 bits": Image.fromarray(np.asarray(MASK).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_of_every_form_mark_the_same(pipe: Any, mask: Any) -> None:
    def draw(mask: Any) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        call = {**CALL, "mask_image": mask, "output_type": "np"}
        return pipe("a cat", **call, generator=generator).images

    assert np.array_equal(draw(mask), draw(MASK))


def test_latents_with_a_tensor_as_mask(pipe: Any) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    call = {**CALL, "image": latents, "mask_image": mask, "output_type": "latent"}
    found = pipe("a cat", **call, generator=torch.Generator().manual_seed(0)).images
    assert torch.equal(found[..., :4], latents[..., :4])
    assert not torch.allclose(found[..., 4:], latents[..., 4:])


@pytest.mark.usefixtures("idle")
def test_a_tensor_of_several_masks_says_its_shape(pipe: Any) -> None:
    with pytest.raises(ArgumentError, match=r"3 masks .*\(3, 1, 16, 16\).*\(1, 1, 16, 16\)"):
        pipe("a cat", **{**CALL, "mask_image": torch.zeros(3, 16, 16)})


def test_a_mask_of_another_size_around_a_crop(pipe: Any) -> None:
    small = MASK.resize((8, 8), Image.Resampling.NEAREST)
    found = pipe("a cat", **{**CALL, "mask_image": small}, padding_mask_crop=2).images[0]
    assert found.size == PICTURE.size
    # Beyond what resizing the mask blurs, every byte is the original's.
    assert np.array_equal(np.asarray(found)[0], COLOURS[0])


def test_a_family_says_what_its_network_takes_of_the_mask(
    build: Callable[..., Any], unets: Callable[..., Any]
) -> None:
    class Reordered(StableDiffusionInpaintPipeline):
        def mask_channels(self, inpainting: Any) -> Any:
            mask, masked = super().mask_channels(inpainting)
            return masked, 1 - mask

    seen: list[torch.Tensor] = []

    def look(network: Any, inputs: Any) -> None:
        seen.append(inputs[0])

    unet = unets(in_channels=9)
    with unet.register_forward_pre_hook(look):
        for kind in (StableDiffusionInpaintPipeline, Reordered):
            seed = torch.Generator().manual_seed(0)
            build(kind, unet=unet)("a cat", **{**CALL, "num_inference_steps": 1}, generator=seed)
    usual, reordered = seen[0], seen[len(seen) // 2]
    assert torch.equal(reordered[:, 4:8], usual[:, 5:])
    assert torch.equal(reordered[:, 8], 1 - usual[:, 4])
