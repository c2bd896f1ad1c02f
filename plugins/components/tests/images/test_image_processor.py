from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.image_processor import VaeImageProcessor, mask_processor

GREY = mask_processor(8)


def picture(height: int, width: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def test_bytes_survive_the_way_in_and_out():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([every, every.T, every[::-1]], axis=-1))
    processor = VaeImageProcessor()
    pixels = processor.preprocess(image)
    assert pixels.min() == -1
    assert pixels.max() == 1
    assert processor.postprocess(pixels)[0].tobytes() == image.tobytes()


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_sizes_are_rounded_down_to_the_factor(factor):
    processor = VaeImageProcessor(vae_scale_factor=factor)
    _, _, height, width = processor.preprocess(picture(45, 71)).shape
    assert (height, width) == (45 // factor * factor, 71 // factor * factor)


def test_images_of_a_list_take_the_size_of_the_first():
    pixels = VaeImageProcessor().preprocess([picture(32, 48), picture(64, 24)])
    assert pixels.shape == (2, 3, 32, 48)


def test_tensors_are_resized_by_nearest():
    image = torch.rand(1, 3, 16, 16)
    larger = VaeImageProcessor().resize(image, 32, 32)
    assert torch.equal(larger, image.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_the_input_is_left_alone():
    mask = torch.rand(1, 1, 16, 16)
    before = mask.clone()
    GREY.preprocess(mask)
    assert torch.equal(mask, before)


def test_masks_are_white_from_a_half_up():
    mask = torch.tensor([0.0, 0.49, 0.5, 1.0]).repeat_interleave(2).repeat(8, 1)
    assert GREY.preprocess(mask)[0, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_masks_may_be_zeros_and_ones_of_any_dtype(dtype):
    mask = (torch.rand(16, 16) > 0.5).to(dtype)
    assert torch.equal(GREY.preprocess(mask)[0, 0], mask.float())
    assert torch.equal(GREY.preprocess(mask.numpy())[0, 0], mask.float())


def test_a_bytes_array_is_refused_with_the_remedy():
    with pytest.raises(ArgumentError, match="divide by 255"):
        VaeImageProcessor().preprocess(np.asarray(picture(16, 16)))


def test_transparency_is_dropped_where_rgb_is_asked_for():
    processor = VaeImageProcessor(do_convert_rgb=True)
    for mode in ("RGBA", "L", "P", "1"):
        assert processor.preprocess(picture(16, 16, mode)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("wrong", ["image.png", 3, b"", [picture(8, 8), torch.zeros(3, 8, 8)], {}])
def test_what_is_no_image_is_a_type_error(wrong):
    with pytest.raises(ArgumentTypeError, match="image"):
        VaeImageProcessor().preprocess(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        torch.zeros(8),
        torch.zeros(1, 1, 3, 8, 8),
        [torch.zeros(3, 8, 8), torch.zeros(3, 8, 16)],
        [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8)],
        picture(7, 30),
    ],
    ids=lambda value: str(getattr(value, "shape", type(value))),
)
def test_what_has_no_shape_of_an_image_is_refused(wrong):
    with pytest.raises(ArgumentError):
        VaeImageProcessor().preprocess(wrong)


def test_sizes_differ_without_resizing():
    with pytest.raises(ArgumentError, match="differ in size"):
        VaeImageProcessor(do_resize=False).preprocess([picture(8, 8), picture(16, 8)])


def test_crops_and_modes_are_for_pictures():
    processor, tensor = VaeImageProcessor(), torch.rand(1, 3, 16, 16)
    with pytest.raises(ArgumentTypeError, match="PIL"):
        processor.preprocess(tensor, crops_coords=(0, 0, 8, 8))
    with pytest.raises(ArgumentTypeError, match="PIL"):
        processor.resize(tensor, 8, 8, resize_mode="fill")
    with pytest.raises(ArgumentTypeError, match="str"):
        processor.resize("picture", 8, 8)
    with pytest.raises(ArgumentError, match="stretch"):
        processor.resize(picture(8, 8), 8, 8, resize_mode="stretch")


def test_postprocess_refuses_what_it_cannot_give():
    processor, image = VaeImageProcessor(), torch.rand(2, 3, 8, 8)
    with pytest.raises(ArgumentTypeError, match="ndarray"):
        processor.postprocess(image.numpy())
    with pytest.raises(ArgumentError, match=r"'pli'.*Did you mean 'pil'"):
        processor.postprocess(image, "pli")
    with pytest.raises(ArgumentError, match="1 flags for 2 images"):
        processor.postprocess(image, do_denormalize=[True])


def test_both_conversions_at_once_are_refused():
    with pytest.raises(ArgumentError, match="set one"):
        VaeImageProcessor(do_convert_rgb=True, do_convert_grayscale=True)


def test_an_unknown_filter_is_refused():
    with pytest.raises(ArgumentError, match="Did you mean 'lanczos'"):
        VaeImageProcessor(resample="lancos").preprocess(picture(16, 16))


RAMP = np.tile(np.linspace(0, 1, 16), (16, 1))
DEEP = {
    "16 bits": (RAMP * 65535).astype(np.uint16),
    "32 bits": (RAMP * 65535).astype(np.int32),
    "floats": RAMP.astype(np.float32),
    "floats up to 255": (RAMP * 255).astype(np.float32),
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("options", [{}, {"do_convert_rgb": True}, {"do_convert_grayscale": True}])
def test_deep_pictures_look_as_those_of_8_bits(deep, options):
    processor = VaeImageProcessor(**options)
    plain = processor.preprocess(Image.fromarray((RAMP * 255).round().astype(np.uint8)))
    found = processor.preprocess(Image.fromarray(deep))
    assert found.shape == plain.shape
    assert (found - plain).abs().max() <= 2 / 255 + 1e-6


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_deep_masks_have_the_same_region(deep):
    marked = Image.fromarray(np.where(RAMP >= 0.5, deep, 0).astype(deep.dtype))
    assert GREY.get_crop_region(marked, 8, 16) == (8, 0, 16, 16)
    assert GREY.preprocess(marked)[0, 0, 0].tolist() == [0] * 8 + [1] * 8


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "YCbCr", "RGBX", "RGBa"])
def test_bands_that_are_no_shades_are_not_taken_for_them(mode):
    shown = picture(16, 16, "RGBA" if mode == "RGBa" else "RGB").convert(mode)
    rgb = shown.convert("RGBA").convert("RGB") if mode == "RGBa" else shown.convert("RGB")
    found = VaeImageProcessor(do_resize=False).preprocess(shown)
    assert torch.equal(found.expand(-1, 3, -1, -1), VaeImageProcessor().preprocess(rgb))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_are_pictures_whatever_their_channels(channels):
    array = np.random.default_rng(0).random((16, 16, channels), np.float32)
    (found,) = VaeImageProcessor(do_convert_rgb=True).preprocess(array)
    shown = array[..., :3] if channels > 2 else array[..., :1].repeat(3, axis=-1)
    assert np.allclose(found.permute(1, 2, 0), 2 * shown - 1)


def test_only_tensors_are_latents():
    latents = torch.rand(1, 4, 5, 5)
    for processor in (VaeImageProcessor(), VaeImageProcessor(do_convert_rgb=True)):
        assert processor.preprocess(latents) is not None
        assert torch.equal(processor.preprocess(latents), latents)


MASK = np.zeros((16, 16), np.uint8)
MASK[:, 8:] = 255
MASKS = {
    "bytes": MASK,
    "booleans": MASK > 0,
    "16 bits": MASK.astype(np.uint16) * 257,
    "other byte order": MASK.astype(">i4"),
    "long floats": (MASK / 255).astype(np.longdouble),
    "flipped": MASK[:, ::-1][:, ::-1],
    "a channel": MASK[..., None],
    "colours": np.stack([MASK] * 3, axis=-1),
    "colours and transparency": np.stack([MASK] * 4, axis=-1),
    "a batch of colours": np.stack([MASK] * 3, axis=-1)[None],
    "a tensor of bytes": torch.tensor(MASK),
    "a tensor with a channel": torch.tensor(MASK)[None],
    "a tensor of small floats": torch.tensor(MASK / 255).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_of_every_form(mask):
    found = GREY.preprocess(mask)
    assert found.shape == (1, 1, 16, 16)
    assert found[0, 0, 0].tolist() == [0] * 8 + [1] * 8


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, np.int8])
def test_whole_numbers_are_no_image(dtype):
    with pytest.raises(ArgumentError, match="divide by 255"):
        VaeImageProcessor().preprocess(np.full((16, 16, 3), 9, dtype))
    with pytest.raises(ArgumentError, match="values from -1 to -1"):
        GREY.preprocess(np.full((16, 16), -1, np.int64))
