"""torch.compile as an engine, without a compiler: its graphs are run as they are."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from autopipe.attaching.network_view import view_of
from autopipe.errors import ArgumentTypeError
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe_components.engines.compile import Compile, repeated_blocks


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(width, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.layer(x).tanh())


class Once(Block):
    pass


class Net(nn.Module):
    """Three blocks of a width, two of another, and parts that don't repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Once(4)
        self.blocks = nn.ModuleList([Block(4), Block(4), nn.Sequential(Block(4))])
        self.wide = nn.Sequential(Block(8), Block(8))
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.scale * self.wide(torch.cat([x, self.first(x)], -1))


@pytest.fixture(autouse=True)
def forget() -> None:
    torch._dynamo.reset()


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def counter() -> CompileCounter:
    return CompileCounter()


def rows(count: int) -> Tensor:
    return torch.linspace(-1, 1, 4 * count).reshape(count, 4)


def adapted(net: Net, seed: int, strength: float) -> nn.Module:
    """Return a view of `net` with an adapter of rank 2 on a layer of each block."""
    made = torch.Generator().manual_seed(seed)

    def answers(path: str) -> Mapping[str, Any]:
        down, up = torch.randn(2, 4, generator=made), torch.randn(4, 2, generator=made)
        return {path: lambda layer, x: layer(x) + strength * (x @ down.T @ up.T)}

    return view_of(net, [answers(f"blocks.{n}.layer") for n in (0, 1)])


@torch.no_grad()
def test_blocks_of_one_kind_are_compiled_once_and_the_network_is_left_alone(
    net: Net, counter: CompileCounter
) -> None:
    before, keys = dict(net.__dict__), list(net.state_dict())
    run = Compile(backend=counter).prepare(net, "forward")
    for _ in range(3):
        assert torch.equal(run(rows(2)), net(rows(2)))
    # The blocks that are four wide, and those that are eight wide.
    assert counter.frame_count == 2
    assert dict(net.__dict__) == before
    assert list(net.state_dict()) == keys
    assert all(module._compiled_call_impl is None for module in net.modules())


def test_repeated_blocks_are_found_wherever_they_are(net: Net) -> None:
    assert list(repeated_blocks(net)) == [
        *("blocks.0", "blocks.1", "blocks.2.0"),
        *("wide.0", "wide.1"),
    ]
    assert len(set(repeated_blocks(net).values())) == 2
    assert repeated_blocks(Block(3)) == {}
    assert repeated_blocks(nn.Sequential(Block(2), Block(3))) == {}
    # The larger of two repeated blocks, one inside the other.
    assert list(repeated_blocks(nn.Sequential(Net(), Net()))) == ["0", "1"]


@torch.no_grad()
def test_a_second_size_is_compiled_for_and_a_third_is_not(
    net: Net, counter: CompileCounter
) -> None:
    run = Compile(backend=counter).prepare(net, "forward")
    counts = []
    for count in (2, 3, 5, 7, 2):
        assert torch.allclose(run(rows(count)), net(rows(count)), atol=1e-6)
        counts.append(counter.frame_count)
    assert counts[0] == 2 < counts[1]
    assert counts[1:] == [counts[1]] * 4


@torch.no_grad()
def test_weights_are_followed_without_compiling(net: Net, counter: CompileCounter) -> None:
    engine = Compile(backend=counter)
    run, state = engine.prepare(net, "forward"), engine.depends_on(net)
    run(rows(2))
    net.blocks[0].layer.weight.zero_()
    net.wide[0].norm.bias.data = torch.ones(8)
    net.blocks[1].layer.weight = nn.Parameter(torch.eye(4))
    assert engine.depends_on(net) == state
    assert torch.equal(run(rows(2)), net(rows(2)))
    assert counter.frame_count == 2
    net.scale = 2.0
    assert engine.depends_on(net) != state
    net.scale = 1.0
    net.blocks[0] = Block(4).eval()
    assert engine.depends_on(net) != state


@torch.no_grad()
def test_adapters_of_one_structure_share_what_is_compiled(
    net: Net, counter: CompileCounter
) -> None:
    engine = Compile(backend=counter)
    counts = []
    for seed, strength in ((1, 1.0), (1, 1.0), (2, 1.0), (3, 0.5), (4, 0.25), (5, 0.75)):
        view = adapted(net, seed, strength)
        found = engine.prepare(view, "forward")(rows(2))
        assert torch.allclose(found, view(rows(2)), atol=1e-6)
        assert not torch.allclose(found, net(rows(2)), atol=1e-2)
        counts.append(counter.frame_count)
    # Adapted blocks, the one that isn't, and the wide ones; then for any other strength.
    assert counts[:3] == [3, 3, 3]
    assert counts[3] == counts[-1] <= 5


@torch.no_grad()
def test_a_network_without_repeated_blocks_is_compiled_as_a_whole(counter: CompileCounter) -> None:
    block = Block(3).eval()
    run = Compile(backend=counter).prepare(block, "forward")
    x = torch.ones(2, 3)
    assert torch.equal(run(x), block(x))
    assert counter.frame_count == 1


@torch.no_grad()
def test_what_no_network_uses_is_released(net: Net, counter: CompileCounter) -> None:
    engine, other = Compile(backend=counter), Net().eval()
    for one in (net, other):
        engine.prepare(one, "forward")(rows(2))
    assert counter.frame_count == 2
    engine.release(other)
    engine.prepare(net, "forward")(rows(2))
    assert counter.frame_count == 2
    engine.release(net)
    assert engine._compiled == {}


def test_threads_give_the_same_as_one_after_another(net: Net, counter: CompileCounter) -> None:
    run = Compile(backend=counter).prepare(net, "forward")
    found: dict[int, Tensor] = {}

    def work(count: int) -> None:
        with torch.no_grad():
            found[count] = run(rows(count))

    threads = [threading.Thread(target=work, args=(count,)) for count in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for count, one in found.items():
        assert torch.allclose(one, net(rows(count)), atol=1e-6)
    assert len(found) == 4


def test_it_is_installed_takes_the_options_of_torch_alone_and_pickles() -> None:
    entry = default_registry().entry("engine", "compile")
    assert load_target(entry.target) is Compile
    with pytest.raises(ArgumentTypeError, match=r"'mood'.*mode"):
        Compile(mood="reduce-overhead")
    assert pickle.loads(pickle.dumps(Compile(mode="default"))).options == {"mode": "default"}
