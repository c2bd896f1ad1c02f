"""Whatever the pipelines of the family show to step callbacks, a callback may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.callbacks import assert_each_acts
from support.image_embeddings import stage_call
from support.pictures import mask, picture

import autopipe

NAMES = [pipeline.name for pipeline in autopipe.registry.families["kandinsky22"].pipelines]


@pytest.mark.parametrize("name", NAMES)
def test_each_tensor_acts(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    if "Prior" in name:
        assert_each_acts(build(kind), {**stage_call(kind), "output_type": "pt"}, "image_embeds")
    elif "Combined" in name:
        images = {"image": picture(), "mask_image": mask()}
        call = {n: one for n, one in images.items() if n in kind.__call__.__annotations__}
        sizes = {"height": 16, "width": 16, "num_inference_steps": 8}
        call |= {"prompt": "a cat", "prior_num_inference_steps": 2, **sizes}
        assert_each_acts(build(kind), {**call, "output_type": "latent"})
    else:
        assert_each_acts(build(kind), {**stage_call(kind), "output_type": "latent"})
