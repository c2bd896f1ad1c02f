"""The older function that loads a single file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autopipe import AutoPipelineForText2Image, StableDiffusionImg2ImgPipeline
from autopipe.checkpoint.save_single import save_single
from autopipe.errors import ArgumentError
from autopipe_compat.conversion import download_from_original_stable_diffusion_ckpt


def test_the_older_function_gives_what_the_file_holds(tmp_path: Path) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    file = save_single(pipe, tmp_path / "x.safetensors")
    made = download_from_original_stable_diffusion_ckpt(
        file,
        config_files={"v1": "ignored"},
        from_safetensors=True,
        pipeline_class=StableDiffusionImg2ImgPipeline,
        scheduler_type="ddim",
        config="demo:stable_diffusion",
    )
    assert type(made) is StableDiffusionImg2ImgPipeline
    assert type(made.scheduler).__name__ == "DDIMScheduler"
    state = pipe.unet.state_dict()
    assert all(torch.equal(one, state[name]) for name, one in made.unet.state_dict().items())
    with pytest.raises(ArgumentError, match="stable_unclip= is not supported"):
        download_from_original_stable_diffusion_ckpt(file, stable_unclip="txt2img")
    with pytest.raises(ArgumentError, match="extract_ema=True is not supported"):
        download_from_original_stable_diffusion_ckpt(file, extract_ema=True)
