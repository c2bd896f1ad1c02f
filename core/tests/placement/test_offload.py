"""Offloading: who comes to the device when, and what asking for it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from support.relay import Coder, PaintingPipeline, RelayPipeline, relay, state
from torch import nn

from autopipe.errors import ArgumentError
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


def test_roles_follow_from_all_views() -> None:
    pipe = relay()
    view = PaintingPipeline.from_pipe(pipe)
    roles = {role.name: role for role in pipe._pool.roles().values()}
    assert roles == {
        "reader": Role("reader", in_turn=True),
        "painter": Role("painter", in_turn=True),
        "coder": Role("coder", in_turn=True),
        "guide": Role("guide"),
        "guard": Role("guard", stays=True),
    }
    assert view._pool is pipe._pool


# What it asks for


def test_without_an_accelerator_it_says_so(
    pipe: RelayPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: None)
    for enable in (pipe.enable_model_cpu_offload, pipe.enable_sequential_cpu_offload):
        with pytest.raises(RuntimeError, match="torch sees none"):
            enable()
    assert pipe.placement.title == "resident"


def test_a_device_and_a_number_must_agree(pipe: RelayPipeline) -> None:
    with pytest.raises(ArgumentError, match="both say which one"):
        pipe.enable_model_cpu_offload(gpu_id=0, device="cuda:1")


def test_a_placement_that_fails_leaves_the_pipeline_resident(
    pipe: RelayPipeline, expected: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, network: Any, role: Any) -> None:
        if role.name == "coder":
            raise MemoryError("full")

    monkeypatch.setattr(ModelOffload, "install", refuse)
    with pytest.raises(MemoryError):
        pipe.enable_model_cpu_offload(device="cpu")
    assert state(pipe) == state(relay())
    assert torch.equal(pipe(), expected)


def test_the_coder_of_these_tests_needs_its_entry_point() -> None:
    # Without it, weights of its own would not be there: so the tests above mean something.
    coder = Coder()
    cpu_offload(coder, torch.device("cpu"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        Coder.decode.__wrapped__(coder, torch.ones(1, 4)).sum().item()  # type: ignore[attr-defined]
