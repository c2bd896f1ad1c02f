"""A user's subclass that passes on what its constructor gets: loaded, saved and run whole."""

from __future__ import annotations

import os

import pytest
import torch

from autopipe import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline


class Mine(StableDiffusionPipeline):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = 1


class Unchecked(StableDiffusionPipeline):
    """Fixes some components, and passes the others on."""

    def __init__(self, **kwargs):
        super().__init__(safety_checker=None, requires_safety_checker=False, **kwargs)


@pytest.fixture
def saved(build, checkers, feature_extractor, folder):
    parts = {"safety_checker": checkers(2), "feature_extractor": feature_extractor}
    build(StableDiffusionPipeline, **parts).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("cls", [Mine, Unchecked])
def test_loaded_saved_and_run_whole(cls, saved, tmp_path):
    mine = cls.from_pretrained(saved)
    assert type(mine) is cls
    base = StableDiffusionPipeline.from_pretrained(saved)
    assert list(mine.components) == list(base.components)
    mine.save_pretrained(tmp_path / "mine")
    unsaved = set(os.listdir(saved)) - set(os.listdir(tmp_path / "mine"))
    assert unsaved == ({"safety_checker"} if mine.safety_checker is None else set())
    call = {"num_inference_steps": 1, "height": 32, "width": 32, "output_type": "pt"}
    images = [
        pipe("a cat", **call, generator=torch.Generator().manual_seed(0)).images
        for pipe in (mine, StableDiffusionPipeline.from_pretrained(tmp_path / "mine"))
    ]
    assert torch.equal(*images)
    with pytest.raises(TypeError, match="no keyword 'unett'"):
        cls.from_pretrained(saved, unett=None)


def test_views_of_other_tasks(saved):
    mine = Mine.from_pretrained(saved)
    view = StableDiffusionImg2ImgPipeline.from_pipe(mine)
    assert view.unet is mine.unet
    assert type(Mine.from_pipe(view)) is Mine
