"""A Würstchen small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny import WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel

from autopipe import (
    DDPMWuerstchenScheduler,
    PaellaVQModel,
    WuerstchenDiffNeXt,
    WuerstchenPrior,
)

PRIOR: dict[str, Any] = {"c_in": 4, "c": 16, "c_cond": WIDTH, "c_r": 8, "depth": 1, "nhead": 2}
DECODER: dict[str, Any] = {
    "c_r": 8,
    "c_cond": 8,
    "c_hidden": [8, 16],
    "nhead": [-1, 2],
    "blocks": [1, 1],
    "level_config": ["CT", "CTA"],
    "inject_effnet": [False, True],
    "effnet_embd": 4,
    "clip_embd": WIDTH,
}
VQ: dict[str, Any] = {"bottleneck_blocks": 1, "embed_dim": 8, "num_vq_embeddings": 16}


def _random(make: Callable[[], Any]) -> Any:
    """Return a network all of whose parameters have an effect; some begin as zeros."""
    made = make()
    for name, parameter in made.named_parameters():
        # The last layer of a network that predicts noise is as a trained one's: it returns its
        # input, changed a little. Else the first steps would multiply rounding.
        torch.nn.init.normal_(parameter, std=0.02 if name.startswith(("out.", "clf.")) else 0.2)
    if isinstance(made, WuerstchenDiffNeXt):
        bias = made.clf[1].bias.data
        bias[len(bias) // 2 :] += 6.0
    return made


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components of the combined pipeline."""
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return {
        "tokenizer": tokenizer,
        "text_encoder": make_text_encoder(CLIPTextModel, tokenizer, seed=1),
        "decoder": seeded(lambda: _random(lambda: WuerstchenDiffNeXt(**DECODER))),
        "scheduler": DDPMWuerstchenScheduler(),
        "vqgan": seeded(lambda: _random(lambda: PaellaVQModel(**VQ))),
        "prior_tokenizer": tokenizer,
        "prior_text_encoder": make_text_encoder(CLIPTextModel, tokenizer),
        "prior_prior": seeded(lambda: _random(lambda: WuerstchenPrior(**PRIOR))),
        "prior_scheduler": DDPMWuerstchenScheduler(),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: Any, **components: Any) -> Any:
        prefix = "prior_" if "Prior" in kind.__name__ else ""
        own = {name: parts[prefix + name] for name in kind.module_names()}
        pipe = kind(**{**own, **components})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
