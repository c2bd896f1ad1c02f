from __future__ import annotations

from random import Random

import numpy as np
import pytest
from stable_diffusion_demo import shapes


def scene(shape: str = "heart", position: str = "left") -> shapes.Scene:
    return shapes.place(Random(0), shape, "red", "white", position, "medium")


def test_every_shape_and_every_colour_is_withheld_in_some_pair_and_trained_in_others():
    assert {shape for _, shape in shapes.WITHHELD} == set(shapes.OUTLINES)
    assert {colour for colour, _ in shapes.WITHHELD} == set(shapes.COLOURS)
    pairs = len(shapes.OUTLINES) * len(shapes.COLOURS)
    assert len(shapes.WITHHELD) < pairs / 5


def test_training_scenes_hold_no_withheld_pair_and_withheld_scenes_nothing_else():
    rng = Random(0)
    trained = {(s.colour, s.shape) for s in (shapes.random_scene(rng) for _ in range(500))}
    kept = [shapes.random_scene(rng, withheld=True) for _ in range(100)]
    assert not trained & shapes.WITHHELD
    assert {(s.colour, s.shape) for s in kept} <= shapes.WITHHELD


def test_no_shape_has_the_colour_of_its_background():
    rng = Random(0)
    assert all(s.colour != s.background for s in (shapes.random_scene(rng) for _ in range(300)))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("shape", shapes.OUTLINES)
def test_a_drawing_has_its_two_colours_and_stays_within_the_picture(shape: str, size: int):
    pixels = np.asarray(shapes.draw(scene(shape), size=size))
    assert pixels.shape == (size, size, 3)
    assert (pixels[0] == shapes.COLOURS["white"]).all()
    assert (pixels[-1] == shapes.COLOURS["white"]).all()
    painted = (pixels == shapes.COLOURS["red"]).all(axis=2)
    assert painted.any()
    assert np.argwhere(painted)[:, 1].mean() < size / 2


@pytest.mark.parametrize("shape", shapes.OUTLINES)
def test_the_outline_runs_along_the_edge_of_the_drawing(shape: str):
    line = np.asarray(shapes.draw_outline(scene(shape)).convert("L")) > 127
    painted = np.asarray(shapes.draw(scene(shape)))[..., 1] < 128
    edge = painted ^ np.roll(painted, 1, 0) | painted ^ np.roll(painted, 1, 1)
    assert line.any()
    near = sum(np.roll(line, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) > 0
    assert near[edge].mean() > 0.99
    assert line.sum() < painted.sum()


def test_drawing_over_a_picture_keeps_what_it_does_not_cover():
    first = scene(position="left")
    under = shapes.draw(first)
    both = np.asarray(shapes.draw(scene("square", "right"), over=under))
    assert (both[:, :20] == np.asarray(under)[:, :20]).all()
    assert (both[:, 44:] != np.asarray(under)[:, 44:]).any()


def test_captions_say_only_what_is_so_and_their_words_are_in_the_vocabulary():
    rng = Random(3)
    known = set(shapes.vocabulary())
    unknown = 0
    for _ in range(300):
        s = shapes.random_scene(rng)
        words = shapes.random_caption(s, rng).split()
        assert s.shape in words
        assert not set(words) & (set(shapes.OUTLINES) - {s.shape})
        assert not set(words) & (set(shapes.COLOURS) - {s.colour, s.background})
        assert not set(words) & (set(shapes.POSITIONS) - {s.position})
        unknown += len(set(words) - known)
    assert 0 < unknown < 60


def test_the_plain_caption():
    assert shapes.caption(scene()) == "a red heart on the left on a white background"
    assert shapes.caption(scene(position="centre"), background=False) == "a red heart"
