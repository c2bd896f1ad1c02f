"""Views of networks: other answers at some places, all else shared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate import cpu_offload
from torch import nn

from autopipe.attaching.network_view import Replacement, origin_of, view_of, with_modules
from autopipe.errors import PluginError
from autopipe.modeling import entry_point


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.out = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.out(x)

    @entry_point
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](x)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def plus(number: float) -> Callable:
    return lambda module, x: module(x) + number


X = torch.arange(8.0).reshape(2, 4) / 8


@torch.no_grad()
def test_a_view_answers_otherwise_and_its_origin_does_not(net: Net) -> None:
    before = net(X)
    view = view_of(net, [{"blocks.1.first": plus(1), "out.0": plus(2)}])
    expected = net.blocks[0](X)
    expected = net.blocks[1].second((net.blocks[1].first(expected) + 1).relu())
    expected = net.out[1](net.out[0](expected) + 2)
    assert torch.equal(view(X), expected)
    assert not torch.equal(view(X), before)
    assert torch.equal(net(X), before)
    assert isinstance(view, Net)
    assert origin_of(view) is net
    assert origin_of(net) is net


@torch.no_grad()
def test_the_network_itself_can_be_replaced_with_its_modules(net: Net) -> None:
    before = net(X)
    view = view_of(net, [{"": plus(1)}, {"out.0": plus(2)}, {"": plus(4)}])
    inside = view_of(net, [{"out.0": plus(2)}])
    assert torch.equal(view(X), inside(X) + 1 + 4)
    assert torch.equal(net(X), before)
    assert list(view.state_dict()) == list(net.state_dict())
    assert origin_of(view) is net


@torch.no_grad()
def test_a_replaced_network_is_offloaded_like_its_origin(net: Net) -> None:
    expected = net(X) + 1
    cpu_offload(net, execution_device="cpu")
    assert torch.equal(view_of(net, [{"": plus(1)}])(X), expected)
    assert next(net.parameters()).device.type == "meta"


def test_everything_is_shared(net: Net) -> None:
    view = view_of(net, [{"blocks.1.first": plus(1)}])
    assert list(view.state_dict()) == list(net.state_dict())
    assert all(a is b for a, b in zip(view.parameters(), net.parameters(), strict=True))
    assert view.blocks[0] is net.blocks[0]
    assert view.blocks[1].second is net.blocks[1].second
    net.to(torch.float64)
    assert view(X.double()).dtype is torch.float64


@torch.no_grad()
def test_later_answers_go_around_earlier_ones_also_further_up_and_down(net: Net) -> None:
    def double(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return 2 * module(x)

    hidden = net.blocks[1](net.blocks[0](X))
    expected = 2 * (net.out[1](net.out[0](hidden) + 3) + 1)
    orders = (
        [{"out": plus(1)}, {"out": double, "out.0": plus(3)}],
        [{"out.0": plus(3)}, {"out": plus(1)}, {"out": double}],
        [{"out": plus(1)}, {"out.0": plus(3)}, {"out": double}],
        [{"out": plus(1)}, {"out": double}, {"out.0": plus(1)}, {"out.0": plus(2)}],
    )
    for answers in orders:
        assert torch.allclose(view_of(net, answers)(X), expected, atol=1e-6)  # 3 is 1 + 2
    plain = net.out(hidden)
    assert torch.equal(view_of(net, [{"out": double}])(X), 2 * plain)


def test_a_path_that_leads_nowhere_is_named(net: Net) -> None:
    for path in ("blocks.7.first", "blocks.0.third", "nothing"):
        with pytest.raises(PluginError, match=path):
            view_of(net, [{path: plus(1)}])


@torch.no_grad()
def test_hooks_of_offloading_serve_the_view_whenever_they_come(net: Net) -> None:
    early = view_of(net, [{"blocks.1.first": plus(1)}])
    expected, encoded = early(X), net.encode(X)
    cpu_offload(net, torch.device("cpu"))
    late = view_of(net, [{"blocks.1.first": plus(1)}])
    assert next(net.parameters()).is_meta
    for view in (early, late):
        assert torch.equal(view(X), expected)
        assert torch.equal(view.encode(X), encoded)


@torch.no_grad()
def test_a_compiled_origin_does_not_answer_for_the_view(net: Net) -> None:
    net.compile(backend="eager")
    view = view_of(net, [{"blocks.1.first": plus(1)}])
    assert not torch.equal(view(X), net(X))


@torch.no_grad()
def test_many_views_in_many_threads_are_bitwise_what_they_are_one_by_one(net: Net) -> None:
    views = [view_of(net, [{"blocks.1.first": plus(i), "out.0": plus(i)}]) for i in range(8)]
    serial = [view(X) for view in views]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            found = list(threads.map(lambda view: view(X), views))
            assert all(map(torch.equal, found, serial))


def test_a_deep_copy_of_a_view_stands_alone(net: Net) -> None:
    view = view_of(net, [{"out.0": plus(1)}])
    with torch.no_grad():
        made = copy.deepcopy(view)
        expected = view(X)
        net.out[0].weight.zero_()
        assert torch.equal(made(X), expected)


def test_a_network_with_other_modules_is_plain_and_shares_the_rest() -> None:
    net, new = Net(), nn.Linear(4, 4)
    x = torch.randn(2, 4)
    before = net(x)
    made = with_modules(net, {"blocks.0.second": new, "out.0": nn.Identity()})
    assert type(made) is Net
    assert made.blocks[0].second is new
    assert made.blocks[0].first is net.blocks[0].first
    assert made.blocks[1] is net.blocks[1]
    assert origin_of(made) is made
    assert set(made.state_dict()) == {n for n in net.state_dict() if not n.startswith("out.")}
    assert torch.equal(net(x), before)
    assert not torch.equal(made(x), before)
    view = view_of(net, [{"out": lambda layer, y: layer(y) + 1}])
    assert torch.equal(with_modules(view, {})(x), before)


@pytest.mark.parametrize("path", ["absent", "blocks.7", "blocks.0.third.x", "out.0.weight", ""])
def test_other_modules_at_a_place_that_does_not_exist_are_refused(path: str) -> None:
    with pytest.raises(PluginError, match="there is no module"):
        with_modules(Net(), {path: nn.Identity()})


@torch.no_grad()
def test_a_view_of_a_view_keeps_what_is_replaced_above(net: Net) -> None:
    view = view_of(net, [{"": plus(1), "blocks.0": plus(2), "blocks.0.first": plus(3)}])
    again = view_of(view, [{"blocks.0.second": plus(0), "out.0": plus(0)}])
    # Adding 0 changes nothing, so every difference is an answer that was lost.
    assert torch.equal(again(X), view(X))
    assert not torch.equal(view(X), net(X))


class Wider(nn.Linear):
    """A layer with further outputs, which shares the parameters of another."""

    def __init__(self, layer: nn.Linear) -> None:
        vars(self).update(vars(layer))
        vars(self)["layer"] = layer
        self.out_features = layer.out_features + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.layer(x), x.sum(-1, keepdim=True)], dim=-1)


@torch.no_grad()
def test_a_view_shows_the_attributes_of_a_replacement(net: Net) -> None:
    wider = {"out.0": Replacement(Wider)}
    view = view_of(net, [wider, {"out.0": plus(3)}, wider])
    assert view.out[0].out_features == 6
    inside = net.out[0](net.blocks[1](net.blocks[0](X)))
    assert view(X).shape == (2, 6)
    assert torch.equal(view(X)[:, :4], (inside + 3).tanh())
    assert list(view.state_dict()) == list(net.state_dict())
    assert net.out[0].out_features == 4


@torch.no_grad()
def test_hooks_of_a_replaced_module_run_once(net: Net) -> None:
    before, after = [], []
    net.blocks[0].register_forward_pre_hook(lambda module, inputs: before.append(module))
    net.blocks[0].register_forward_hook(lambda module, inputs, output: after.append(module))
    view_of(net, [{"blocks.0": plus(1)}, {"blocks.0": plus(2)}])(X)
    assert (len(before), len(after)) == (1, 1)
    view_of(net, [{"blocks.0": lambda block, x: x}])(X)
    assert (len(before), len(after)) == (1, 1)  # It doesn't run.
    view_of(net, [{"blocks.0.first": plus(1)}])(X)
    assert (len(before), len(after)) == (2, 2)
