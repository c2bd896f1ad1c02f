"""torch.compile as an engine, without a compiler: its graphs are run as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autopipe.errors import ArgumentTypeError
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe_components.engines.compile import Compile


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


def test_what_it_makes_gives_the_same_and_leaves_the_network_alone() -> None:
    seen: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        seen.append(graph)
        return graph.forward

    net = Net().eval()
    before = set(net.__dict__)
    run = Compile(backend=backend).prepare(net, "forward")
    x = torch.ones(2, 3)
    with torch.no_grad():
        assert torch.equal(run(x), net(x))
        net.layer.weight.zero_()
        assert torch.equal(run(x), net(x))
    assert len(seen) == 1
    assert set(net.__dict__) == before


def test_it_is_installed_and_takes_the_options_of_torch_alone() -> None:
    entry = default_registry().entry("engine", "compile")
    assert load_target(entry.target) is Compile
    with pytest.raises(ArgumentTypeError, match=r"'mood'.*mode"):
        Compile(mood="reduce-overhead")
