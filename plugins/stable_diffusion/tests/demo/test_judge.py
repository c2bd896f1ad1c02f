from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageFilter
from stable_diffusion_demo import shapes
from stable_diffusion_demo.judge import Finding, grown, judge, largest_piece


def a_scene(shape: str, size: str = "medium") -> shapes.Scene:
    return shapes.place(Random(1), shape, "blue", "yellow", "top", size)


def test_drawings_are_told_right():
    rng = Random(11)
    scenes = [shapes.random_scene(rng, withheld=None) for _ in range(80)]
    for scene in scenes:
        found = judge(shapes.draw(scene))
        assert (found.colour, found.shape) == (scene.colour, scene.shape)
        assert (found.background, found.position) == (scene.background, scene.position)


@pytest.mark.parametrize("size", shapes.RADII)
@pytest.mark.parametrize("shape", shapes.OUTLINES)
def test_a_soft_and_noisy_drawing_is_told_too(shape: str, size: str):
    picture = shapes.draw(a_scene(shape, size)).filter(ImageFilter.GaussianBlur(0.7))
    noise = np.random.default_rng(0).normal(0, 6, (64, 64, 3))
    noisy = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
    found = judge(Image.fromarray(noisy))
    assert (found.colour, found.shape) == ("blue", shape)


@pytest.mark.parametrize("shape", shapes.OUTLINES)
def test_burrs_on_its_sides_leave_the_shape(shape: str):
    pixels = np.array(shapes.draw(replace(a_scene(shape, "small"), centre=(32.0, 32.0))))
    mask = judge(Image.fromarray(pixels)).mask
    assert mask is not None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    pixels[top - 1, columns[mask[top, columns]][0]] = shapes.COLOURS["blue"]
    pixels[bottom + 1, columns[mask[bottom, columns]][0]] = shapes.COLOURS["blue"]
    pixels[rows[mask[rows, left]][0], left - 1] = shapes.COLOURS["blue"]
    pixels[rows[mask[rows, right]][0], right + 1] = shapes.COLOURS["blue"]
    assert judge(Image.fromarray(pixels)).shape == shape


def test_between_two_shapes_is_neither():
    """A square whose corners are so round that it is half a circle."""
    y, x = np.mgrid[:64, :64] - 31.5
    pixels = np.full((64, 64, 3), shapes.COLOURS["white"], np.uint8)
    pixels[abs(x) ** 3.2 + abs(y) ** 3.2 < 14**3.2] = shapes.COLOURS["red"]
    assert judge(Image.fromarray(pixels)).shape is None


@pytest.mark.parametrize("colour", shapes.COLOURS)
def test_an_empty_picture_shows_nothing(colour: str):
    found = judge(Image.new("RGB", (64, 64), shapes.COLOURS[colour]))
    assert found == Finding(background=colour)


def test_a_colour_between_two_names_has_none():
    between = {**shapes.COLOURS, "blue": (150, 150, 90)}
    assert judge(shapes.draw(a_scene("square"), colours=between)).colour is None


def test_two_objects_are_no_shape():
    scene = replace(a_scene("square"), centre=(20.0, 20.0))
    picture = shapes.draw(scene)
    both = shapes.draw(replace(scene, centre=(46.0, 46.0)), over=picture)
    assert judge(picture).shape == "square"
    assert judge(both).shape is None


@pytest.mark.parametrize("aspect", [0.5, 2.0])
def test_a_stretched_shape_is_not_that_shape(aspect: float):
    height, width = (24, int(24 * aspect)) if aspect > 1 else (48, int(48 * aspect))
    pixels = np.full((64, 64, 3), shapes.COLOURS["white"], np.uint8)
    pixels[8 : 8 + height, 8 : 8 + width] = shapes.COLOURS["red"]
    assert judge(Image.fromarray(pixels)).shape is None


def test_noise_is_no_shape():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert judge(Image.fromarray(pixels)).shape is None


def test_a_half_hidden_shape_is_not_told():
    pixels = np.array(shapes.draw(replace(a_scene("heart"), centre=(32.0, 32.0))))
    pixels[:, :32] = shapes.COLOURS["yellow"]
    assert judge(Image.fromarray(pixels)).shape is None


def test_the_largest_piece_of_a_mask():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[3:6, 3:6] = mask[6, 6] = True
    piece = largest_piece(mask)
    assert piece.sum() == 10
    assert not piece[0, 0]


def test_growing_reaches_diagonally():
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert grown(mask, 1).sum() == 9
    assert grown(mask, 2).all()
