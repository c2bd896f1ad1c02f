"""The image processor against diffusers', for every kind of input. Both are exact: no tolerance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.masks import erode

pytestmark = pytest.mark.parity
reference = pytest.importorskip("diffusers.image_processor")


def picture(height: int, width: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    return Image.fromarray(noise, "RGBA").convert(mode)


def both(**config: object) -> tuple[VaeImageProcessor, object]:
    return VaeImageProcessor(**config), reference.VaeImageProcessor(**config)


CONFIGS = [
    {},
    {"vae_scale_factor": 4, "resample": "bicubic"},
    {"vae_scale_factor": 16, "resample": "nearest", "reducing_gap": 2},
    {"do_normalize": False, "do_binarize": True, "do_convert_grayscale": True},
    {"do_convert_rgb": True, "resample": "bilinear"},
    {"do_resize": False},
]


def inputs() -> dict[str, object]:
    draw = np.random.default_rng(1)
    generator = torch.Generator().manual_seed(1)

    def array(*shape: int) -> np.ndarray:
        return draw.random(shape, dtype=np.float32)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    return {
        "pil": picture(45, 70),
        "pils": [picture(45, 70), picture(45, 70, 2)],
        "array HWC": array(33, 50, 3),
        "array NHWC": array(2, 33, 50, 3),
        "array list": [array(33, 50, 3), array(33, 50, 3)],
        "tensor CHW": tensor(3, 33, 50),
        "tensor NCHW": tensor(2, 3, 33, 50),
        "tensor list": [tensor(3, 33, 50), tensor(3, 33, 50)],
        "tensor in [-1, 1]": tensor(1, 3, 32, 48) * 2 - 1,
        "latents": tensor(2, 4, 6, 5),
    }


CASES = [
    (name, config)
    for name in inputs()
    for config in CONFIGS
    # There a lone one with three axes is a batch of grey ones (see test_masks), and arrays in
    # colour keep three channels, which no mask may have.
    if not name.startswith(("tensor CHW", "array")) or not config.get("do_convert_grayscale")
]


@pytest.mark.parametrize("size", [(None, None), (64, 40), (50, 77)], ids=str)
@pytest.mark.parametrize(("name", "config"), CASES, ids=str)
def test_preprocess(name, config, size):
    ours, theirs = both(**config)
    found = ours.preprocess(inputs()[name], *size)
    expected = theirs.preprocess(inputs()[name], *size)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


MASKS = {
    "pil L": picture(30, 44, mode="L"),
    "pil RGB": picture(30, 44),
    "pil 1": picture(30, 44, mode="1"),
    "array HW": np.random.default_rng(3).random((32, 48), dtype=np.float32),
    "array NHW": np.random.default_rng(3).random((3, 32, 48), dtype=np.float32),
    "array HW1": np.random.default_rng(3).random((32, 48, 1), dtype=np.float32),
    "array NHW1": np.random.default_rng(3).random((2, 32, 48, 1), dtype=np.float32),
    "tensor HW": torch.rand(32, 48, generator=torch.Generator().manual_seed(3)),
    "tensor NHW": torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(3)),
    "tensor N1HW": torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(3)),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(name):
    ours, theirs = both(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    found = ours.preprocess(MASKS[name], 24, 40)
    assert torch.equal(found, theirs.preprocess(MASKS[name], 24, 40))
    assert set(found.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("mode", ["default", "fill", "crop"])
@pytest.mark.parametrize(
    ("source", "target"), [((40, 60), (64, 64)), ((60, 40), (64, 72)), ((31, 31), (24, 24))]
)
def test_resize_of_pictures(mode, source, target):
    ours, theirs = both()
    image = picture(*source)
    found, expected = (p.resize(image, *target, resize_mode=mode) for p in (ours, theirs))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_resize_of_arrays(make):
    ours, theirs = both()
    image = make(np.random.default_rng(0).random((2, 3, 9, 14), dtype=np.float32))
    found, expected = (p.resize(image, 21, 10) for p in (ours, theirs))
    assert type(found) is type(expected)
    assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("output_type", ["pil", "np", "pt", "latent"])
@pytest.mark.parametrize("flags", [None, [True, False]])
@pytest.mark.parametrize("do_normalize", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_postprocess(output_type, flags, do_normalize, channels):
    ours, theirs = both(do_normalize=do_normalize)
    image = torch.randn(2, channels, 8, 12, generator=torch.Generator().manual_seed(0))
    if output_type == "pil":
        # Outside [0, 1] the conversion to bytes has no defined result.
        image = image.clamp(0, 1)
    found, expected = (p.postprocess(image, output_type, flags) for p in (ours, theirs))
    assert type(found) is type(expected)
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    if output_type == "pil":
        assert [one.mode for one in found] == [one.mode for one in expected]


def boxes(count: int) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(5)
    return [tuple(int(n) for n in draw.integers(0, 40, 4)) for _ in range(count)]


def mask_with(box: tuple[int, ...], height: int, width: int) -> Image.Image:
    left, top, w, h = box
    mask = Image.new("L", (width, height))
    mask.paste(255, (left, top, left + w + 1, top + h + 1))
    return mask


@pytest.mark.parametrize("pad", [0, 7, 40])
@pytest.mark.parametrize("size", [(64, 64), (64, 24), (16, 80)])
def test_the_region_around_a_mask(pad, size):
    for box in boxes(40):
        mask = mask_with(box, 50, 61)
        found = VaeImageProcessor.get_crop_region(mask, *size, pad=pad)
        assert found == reference.VaeImageProcessor.get_crop_region(mask, *size, pad=pad), box


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_a_repainted_region_is_put_back(cropped, soft):
    ours, theirs = both()
    for box in boxes(8):
        original, mask = picture(50, 61, 7), mask_with(box, 50, 61)
        mask = ours.blur(mask, 3) if soft else mask
        region = ours.get_crop_region(mask, 48, 32, pad=4) if cropped else None
        painted = picture(32, 48, 9) if cropped else picture(50, 61, 9)
        found, expected = (p.apply_overlay(mask, original, painted, region) for p in (ours, theirs))
        assert found.tobytes() == expected.tobytes(), box


def test_eroded_masks():
    from diffusers.pipelines.kandinsky.pipeline_kandinsky_inpaint import prepare_mask

    for density in (0.02, 0.2):
        drawn = torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(4))
        mask = (drawn > density).float()
        assert torch.equal(erode(mask), prepare_mask(mask.clone()))


def test_blur_and_conversions():
    ours, theirs = both()
    image = picture(20, 30)
    for method in ("blur", "convert_to_rgb", "convert_to_grayscale"):
        assert getattr(ours, method)(image).tobytes() == getattr(theirs, method)(image).tobytes()
    assert np.array_equal(ours.pil_to_numpy(image), theirs.pil_to_numpy(image))


def test_crops_before_resizing():
    ours, theirs = both()
    crop = {"resize_mode": "fill", "crops_coords": (5, 9, 47, 30)}
    found, expected = (p.preprocess(picture(50, 61), 64, 64, **crop) for p in (ours, theirs))
    assert torch.equal(found, expected)


def test_the_config_keys_are_the_same():
    ours, theirs = both()
    assert {k for k in ours.config if not k.startswith("_")} == {
        k for k in theirs.config if not k.startswith("_")
    }


def test_helpers_of_utils(tmp_path):
    from diffusers import utils as theirs

    from autopipe import utils as ours

    tensor = torch.randn(4, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    array = tensor.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(ours.pt_to_pil(tensor), theirs.pt_to_pil(tensor))
    pictures = ours.numpy_to_pil(array)
    assert np.array_equal(pictures, theirs.numpy_to_pil(array))
    for resize in (None, 5):
        found, expected = (m.make_image_grid(pictures, 2, 2, resize) for m in (ours, theirs))
        assert found.tobytes() == expected.tobytes()
    turned = picture(10, 20)
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=turned.getexif())
    found, expected = (m.load_image(str(tmp_path / "turned.png")) for m in (ours, theirs))
    assert found.size == (10, 20)
    assert found.tobytes() == expected.tobytes()
