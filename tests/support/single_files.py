"""Compares what single files give, here and in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.checkpoint.save_single import save_single

TOLERANCE = 1e-5
"""Of images in [0, 1]: the same weights in float32 over two steps; rounding only."""


def saved(pipe: Any, folder: Path) -> Path:
    """Save a pipeline as `folder` and as a single file beside it; return the file."""
    pipe.save_pretrained(folder)
    return save_single(pipe, folder.with_suffix(".safetensors"))


def plain(network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors by names that releases of transformers agree on, without what is computed."""
    return {
        name.removeprefix("text_model."): tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("position_ids")
    }


def assert_same_tensors(one: Any, other: Any) -> None:
    """Check that the networks of two pipelines, or two networks, have equal tensors."""
    names = ("unet", "vae", "text_encoder", "text_encoder_2")
    pairs = [(getattr(one, n, None), getattr(other, n, None)) for n in names]
    if isinstance(one, nn.Module):
        pairs = [(one, other)]
    for ours, theirs in pairs:
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            first, second = plain(ours), plain(theirs)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[name], second[name]) for name in first)


def assert_same_images(one: Any, other: Any, **call: Any) -> None:
    """Check that two pipelines draw the same image."""

    def image(pipe: Any) -> np.ndarray:
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        given = {"num_inference_steps": 2, "output_type": "np", **call}
        made: np.ndarray = pipe(generator=generator, **given).images
        return made

    assert np.abs(image(one) - image(other)).max() <= TOLERANCE
