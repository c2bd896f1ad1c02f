"""Model offload: who comes to the device, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.placement.base import Role, put
from autopipe.placement.offload import ModelOffload


class Traveller(nn.Module):
    """Notes where it is sent, on a machine that has one device."""

    def __init__(self, journal: list[str], name: str) -> None:
        super().__init__()
        self.journal, self.name, self.at = journal, name, torch.device("cpu")

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        yield SimpleNamespace(device=self.at)

    def to(self, device: Any) -> Any:  # type: ignore[override]
        if self.at != device:
            self.at = device
            self.journal.append(f"{self.name} {'comes' if device.type != 'cpu' else 'leaves'}")
        return self

    def forward(self) -> None:
        self.journal.append(self.name)


@pytest.fixture
def travel() -> tuple[ModelOffload, list[str], Callable[[str], Traveller]]:
    journal: list[str] = []
    offload = ModelOffload(torch.device("cuda", 0))

    def make(name: str, **role: bool) -> Traveller:
        network = Traveller(journal, name)
        put(network, offload, Role(name, **role))
        return network

    return offload, journal, make


def test_one_network_at_a_time_is_on_the_device(travel: Any) -> None:
    offload, journal, make = travel
    coder, reader, painter = (make(n, in_turn=True) for n in ("coder", "reader", "painter"))
    for network in (coder, reader, painter, painter, coder):
        network()
    offload.after_call([coder, reader, painter], failed=False)
    assert journal == [
        "coder comes", "coder",
        "coder leaves", "reader comes", "reader",
        "reader leaves", "painter comes", "painter", "painter",
        "painter leaves", "coder comes", "coder",
        "coder leaves",
    ]  # fmt: skip


def test_what_alternates_stays_until_the_call_ends_and_what_is_excluded_for_good(
    travel: Any,
) -> None:
    offload, journal, make = travel
    painter, guide = make("painter", in_turn=True), make("guide")
    guard = make("guard", stays=True)
    for network in (guide, painter, guide, painter, guard):
        network()
    offload.after_call([painter, guide, guard], failed=False)
    assert journal == [
        "guard comes",
        "guide comes", "guide", "painter comes", "painter", "guide", "painter", "guard",
        "painter leaves", "guide leaves",
    ]  # fmt: skip
