"""Checks of the methods that programs with their own denoising loop call."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from .image_embeddings import DIM
from .pictures import picture

METHODS = ("prepare_latents", "get_timesteps", "_encode_prompt", "_encode_image", "add_noise")


def check_method(ours: Any, theirs: Any, method: str) -> None:
    """Compare the results of a method with those of diffusers, for several arguments."""
    if not hasattr(theirs, method):
        pytest.skip("diffusers has none here")
    both = []
    for pipe in (ours, theirs):
        pipe.scheduler.set_timesteps(6)
        takes_seed = "generator" in inspect.signature(getattr(pipe, method)).parameters
        both.append([
            getattr(pipe, method)(**call, **({"generator": seed()} if takes_seed else {}))
            for call in arguments(type(ours).__name__, method, theirs)
        ])  # fmt: skip
    for one, other in zip(*both, strict=True):
        found, expected = ((x,) if isinstance(x, torch.Tensor) else x for x in (one, other))
        for here, there in zip(found, expected, strict=True):
            # Float32 rounding: we encode texts in one batch, diffusers in two.
            torch.testing.assert_close(here, there, atol=1e-5, rtol=0)


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def arguments(name: str, method: str, pipe: Any) -> list[dict[str, Any]]:
    """Return the arguments of several calls of a method, by their names in diffusers."""
    known: dict[str, Any] = {
        "shape": (4, DIM) if "Prior" in name else (4, 4, 8, 8),
        "dtype": torch.float32,
        "device": "cpu",
        "scheduler": pipe.scheduler,
        "latents": None,
        "emb": torch.ones(2, DIM),
        "image": [picture()] if method == "_encode_image" else torch.ones(4, 4, 8, 8),
        "timestep": torch.tensor([500]),
        "latent_timestep": torch.tensor([500]),
        "batch_size": 2,
        "num_images_per_prompt": 2,
        "num_inference_steps": 6,
        "strength": 0.5,
        "prompt": ["a cat", "a red dog"],
        "do_classifier_free_guidance": True,
        "original_samples": torch.ones(2, 4, 8, 8),
        "noise": torch.zeros(2, 4, 8, 8),
        "timesteps": torch.tensor([3, 900]),
    }
    names = list(inspect.signature(getattr(type(pipe), method)).parameters)[1:]
    call = {n: known[n] for n in names if n in known}
    further: list[dict[str, Any]] = [{}]
    if "latents" in names:
        further.append({"latents": torch.full(known["shape"], 0.5)})
    if method == "_encode_prompt":
        further += [{"do_classifier_free_guidance": False}, {"negative_prompt": ["a", "b"]}]
        further.append({"prompt": "a cat", "negative_prompt": "a dog"})
    return [{**call, **more} for more in further]
