"""Model offload: the prior leaves the device, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from autopipe import KandinskyV22CombinedPipeline
from autopipe.placement.offload import ModelOffload


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks in the order in which they were fetched."""
    fetched: list[nn.Module] = []
    original = ModelOffload.fetch

    def fetch(self: ModelOffload, network: nn.Module) -> None:
        fetched.append(network)
        original(self, network)

    monkeypatch.setattr(ModelOffload, "fetch", fetch)
    return fetched


def test_every_network_comes_in_turn(build: Callable[..., Any], journal: list[nn.Module]) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    pipe.enable_model_cpu_offload(device="cpu")
    assert all(role.in_turn and not role.stays for role in pipe._pool.roles().values())
    roles = pipe._pool.roles()
    pipe("a cat", num_inference_steps=2, prior_num_inference_steps=2, height=16, width=16,
         generator=torch.Generator().manual_seed(0), output_type="pt")  # fmt: skip
    assert pipe._pool.roles() == roles, "the stages of a call change nothing"
    names = {id(network): name for name, network in pipe._networks().items()}
    order = list(dict.fromkeys(names[id(network)] for network in journal))
    assert order.index("prior_prior") < order.index("unet") < order.index("movq")
