"""Checks of calls for all pipelines that make or decode image embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError

from .callbacks import assert_each_acts
from .components import check_dtypes, needed_of
from .image_embeddings import stage_call
from .pictures import mask, picture
from .record import parameters_of
from .room import check_refuses_what_cannot_fit
from .values import flaws_of

Build = Callable[..., Any]


def check_needed(kind: Any, build: Build) -> None:
    """Check that a call needs every component except the processor of an unused image encoder."""
    call = stage_call(kind)
    spared = {"prior_image_processor"}
    spared |= set() if "image" in call else {"image_processor"}
    assert needed_of(kind, build, call) == set(kind.module_names()) - spared


def check_lean(kind: Any, build: Build) -> None:
    """Check that a call from embeddings or latents to latents needs fewer components."""
    known, takes = set(kind.module_names()), parameters_of(kind)
    call = {**stage_call(kind), "negative_prompt": "a blue square"}
    if "Prior" in kind.__name__:
        spared = {"image_encoder", "image_processor"}
        call |= {"image": torch.ones(1, 16)} if "image" in takes else {}
    else:
        call["output_type"] = "latent"
        spared = {"prior_image_encoder", "prior_image_processor"} & known
        if "Inpaint" not in kind.__name__:
            spared |= {"movq"}
            call |= {"image": torch.ones(1, 4, 8, 8)} if "image" in takes else {}
            # Without an autoencoder, a latent cell is 8 pixels wide.
            call |= {"height": 64, "width": 64}
    call = {one: value for one, value in call.items() if one in takes}
    assert needed_of(kind, build, call) == known - spared


def check_several_dtypes(kind: Any, build: Build) -> None:
    """Check that each network may have its own dtype."""
    assert check_dtypes(kind, build, {**stage_call(kind), "output_type": "pt"}) > 1


def check_each_tensor_acts(kind: Any, build: Build) -> None:
    """Check that a step callback can replace every tensor that it receives."""
    if "Prior" in kind.__name__:
        assert_each_acts(build(kind), {**stage_call(kind), "output_type": "pt"}, "image_embeds")
    elif "Combined" in kind.__name__:
        images = {"image": picture(), "mask_image": mask()}
        call = {n: one for n, one in images.items() if n in kind.__call__.__annotations__}
        sizes = {"height": 16, "width": 16, "num_inference_steps": 8}
        call |= {"prompt": "a cat", "prior_num_inference_steps": 2, **sizes}
        assert_each_acts(build(kind), {**call, "output_type": "latent"})
    else:
        assert_each_acts(build(kind), {**stage_call(kind), "output_type": "latent"})


def check_values(kind: Any, build: Build) -> None:
    """Check every argument with every kind of value."""
    call = _short(kind)
    assert parameters_of(kind) >= set(call)
    flaws = flaws_of(build(kind), call)
    assert not flaws, "\n".join(flaws)


def check_room(kind: Any, build: Build) -> None:
    """Check that calls that can't fit in memory are refused; priors have no image size."""
    if "Prior" not in kind.__name__:
        check_refuses_what_cannot_fit(build(kind), _short(kind))
        return
    with pytest.raises(ArgumentError, match="num_images_per_prompt"):
        build(kind)(**{**_short(kind), "num_images_per_prompt": 10**6 + 1})


def _short(kind: Any) -> dict[str, Any]:
    few = {"prior_num_inference_steps": 2} if "Combined" in kind.__name__ else {}
    return {**stage_call(kind), **few, "output_type": "pt"}


CHECKS = (
    check_needed,
    check_lean,
    check_several_dtypes,
    check_each_tensor_acts,
    check_values,
    check_room,
)
