"""How the demo ControlNet is trained and measured: what the numbers mean."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from controlnet_demo import evaluate, train
from PIL import Image
from stable_diffusion_demo.judge import judge
from stable_diffusion_demo.shapes import WITHHELD, Scene, draw, draw_outline

SCENE = Scene("square", "red", "white", (24.0, 40.0), 12.0, "left", "medium")


def test_the_region_is_what_the_outline_encloses() -> None:
    region = evaluate.region(SCENE)
    line = np.asarray(draw_outline(SCENE).convert("L")) > 127
    rows, columns = np.nonzero(region)
    assert abs(rows.mean() + 0.5 - 40) < 0.5
    assert abs(columns.mean() + 0.5 - 24) < 0.5
    # The line runs along its edge, not inside.
    assert not (line & region)[33:47, 17:31].any()
    assert region[33:47, 17:31].all()


def test_a_perfect_picture_overlaps_wholly_and_another_place_does_not() -> None:
    picture = draw(SCENE)
    perfect = evaluate.Judged(SCENE, picture, judge(picture))
    assert perfect.overlap > 0.97
    assert perfect.coloured
    elsewhere = replace(SCENE, centre=(44.0, 20.0), colour="blue")
    moved = evaluate.Judged(elsewhere, picture, judge(picture))
    assert moved.overlap < 0.05
    assert not moved.coloured
    blank = Image.new("RGB", (64, 64), "white")
    assert evaluate.Judged(SCENE, blank, judge(blank)).overlap == 0.0
    figures = evaluate.figures([perfect, moved])
    assert figures["mean_overlap"] == pytest.approx((perfect.overlap + moved.overlap) / 2, abs=1e-4)
    assert figures["colour_right"] == 50.0


def test_a_fifth_of_the_measured_scenes_are_of_withheld_pairs() -> None:
    scenes = evaluate.outlined_scenes(50)
    assert sum((one.colour, one.shape) in WITHHELD for one in scenes) == 10
    assert scenes == evaluate.outlined_scenes(50)


def test_outlines_are_as_pipelines_prepare_them() -> None:
    pictures = train.as_pictures([SCENE])
    assert pictures.shape == (1, 3, 64, 64)
    assert pictures.min() == 0
    assert pictures.max() == 1


def test_what_is_beside_the_outline_counts_more() -> None:
    weights = train.edge_weights(train.as_pictures([SCENE]), 16)
    assert weights.shape == (1, 1, 16, 16)
    assert weights[0, 0, 10, 3] == 1 + train.EDGE_WEIGHT
    assert weights[0, 0, 10, 6] == weights[0, 0, 0, 15] == 1


def test_captions_say_what_the_outline_can_not() -> None:
    rng = random.Random(0)
    captions = [train.describe(SCENE, rng) for _ in range(400)]
    # Three standard deviations of so many draws.
    assert abs(captions.count("") / 400 - train.CAPTION_DROPOUT) < 0.06
    assert sum("red" in one for one in captions) > 300


def test_the_card_tells_the_figures_and_the_command() -> None:
    judged = [evaluate.Judged(SCENE, picture := draw(SCENE), judge(picture))]
    card = evaluate.model_card(
        evaluate.figures(judged), {"steps": 9, "guidance": 2.5}, "measure --it"
    )
    assert "measure --it" in card
    assert "9 steps, guidance 2.5" in card
    assert "| colour as the prompt names it | 100.0 % |" in card
