"""Model offload keeps the tensors of main memory, so that mapped weights stay mapped."""

from __future__ import annotations

import torch
from support.blocks import Tower
from torch import nn

from autopipe.placement.base import Role, put, take
from autopipe.placement.home import Home, keeps
from autopipe.placement.offload import ModelOffload


def addresses(network: nn.Module) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}


def test_after_its_use_a_network_has_the_tensors_of_before() -> None:
    """What is on `meta` has no values, so that nothing can have been copied from there."""
    offload = ModelOffload(torch.device("meta"))
    first, second = Tower(), Tower()
    first.blocks[1].up.weight = first.blocks[0].up.weight
    first.register_buffer("steps", torch.arange(3))
    before, values = addresses(first), first.state_dict()
    values = {name: tensor.clone() for name, tensor in values.items()}
    for network in (first, second):
        put(network, offload, Role("tower", in_turn=True))
    for _ in range(2):
        offload.fetch(first)
        assert all(tensor.is_meta for tensor in first.state_dict().values())
        offload.fetch(second)
        assert addresses(first) == before, "it has made room for the second"
        assert all(tensor.is_meta for tensor in second.parameters())
        offload.after_call([first, second], failed=False)
        assert not any(tensor.is_meta for tensor in second.parameters())
    offload.fetch(first)
    take(first)
    assert addresses(first) == before
    assert all(torch.equal(tensor, values[n]) for n, tensor in first.state_dict().items())
    assert first.blocks[1].up.weight is first.blocks[0].up.weight


def test_what_has_changed_on_the_device_stays_changed() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    home = Home(network)
    kept = addresses(network)
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()
    home.left()
    sent = addresses(network)
    assert not set(kept.values()) & set(sent.values())
    with torch.no_grad():
        network[0].weight.add_(1)
        network[2].running_mean.add_(1)
    network[0].bias = nn.Parameter(torch.ones(2))
    network[1].weight.data = network[1].weight.data.clone()
    of_device = addresses(network)
    home.restore()
    changed = {"0.weight", "0.bias", "1.weight", "2.running_mean"}
    assert addresses(network) == {n: (of_device if n in changed else kept)[n] for n in kept}


def test_shared_memory_holds_nothing_twice() -> None:
    assert [keeps(torch.device(name)) for name in ("cuda:0", "xpu", "mps", "cpu")] == [
        True, True, False, False,
    ]  # fmt: skip
