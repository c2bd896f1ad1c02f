from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.images.kinds import OUTPUT_TYPES, check_output_type, kind_of, tensor_size


def test_kinds():
    assert kind_of(Image.new("RGB", (4, 4))) == "pil"
    assert kind_of([Image.new("RGB", (4, 4))] * 2) == "pil"
    assert kind_of(np.zeros((4, 4, 3))) == "np"
    assert kind_of((torch.zeros(3, 4, 4), torch.zeros(3, 4, 4))) == "pt"


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (0, 4)),
        np.zeros((0, 4, 3)),
        torch.zeros(1, 3, 4, 0),
        [torch.zeros(3, 4, 4), torch.zeros(3, 0, 4)],
    ],
    ids=["pil", "np", "pt", "list"],
)
def test_images_without_pixels(image):
    with pytest.raises(ArgumentError, match="picture is empty"):
        kind_of(image, "picture")


@pytest.mark.parametrize("image", [np.zeros((4, 4), object), torch.zeros(4, 4, dtype=torch.cfloat)])
def test_pixels_that_are_no_real_numbers(image):
    with pytest.raises(ArgumentTypeError, match="give integers or floats"):
        kind_of(image)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.rand(3, 4, 4).to_sparse(), "sparse"),
        (lambda: torch.rand(4, 4).to_sparse_csr(), "sparse"),
        (lambda: torch.rand(3, 4, 4, device="meta"), "without data"),
        (lambda: torch.quantize_per_tensor(torch.rand(3, 4), 0.1, 0, torch.quint8), "quantised"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_dense(make, said):
    with pytest.raises(ArgumentTypeError, match=f"picture.*{said}"):
        kind_of([make()], "picture")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite(value):
    pixels = np.zeros((4, 4, 3), np.float32)
    pixels[1, 2, 0] = value
    for image in (pixels, torch.tensor(pixels), Image.fromarray(pixels[..., 0])):
        with pytest.raises(ArgumentError, match=r"picture (holds|has mode F)"):
            kind_of(image, "picture")


def test_only_tensors_have_a_tensor_size():
    assert tensor_size([torch.zeros(3, 4, 5)]) == (4, 5)
    assert tensor_size(torch.zeros(2, 3, 4, 5)) == (4, 5)
    assert tensor_size(np.zeros((4, 5, 3))) is None


def test_output_types():
    for known in OUTPUT_TYPES:
        check_output_type(known)
    with pytest.raises(ArgumentError, match="Did you mean 'latent'"):
        check_output_type("latents")
