"""The base of engines that convert networks, with one that keeps what torch traced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal
from autopipe_components.engines.calls import Form, taken_apart
from autopipe_components.engines.converted import ConvertedEngine, Packed
from autopipe_components.engines.memory import available_memory, drop_mapped_pages
from autopipe_components.engines.topologies import Topologies
from autopipe_components.engines.tracing import Program, weights_of
from autopipe_components.networks.distributions import DiagonalGaussianDistribution


class Script(ConvertedEngine):
    """Runs TorchScript."""

    name = "script"
    conversions = 0

    def version(self) -> str:
        return "script 1"

    def convert(self, program: Program, folder: Path) -> None:
        self.conversions += 1
        program.trace().save(folder / "traced.pt")

    def load(self, folder: Path, weights: Mapping[str, Tensor]) -> Packed:
        traced = torch.jit.load(folder / "traced.pt")
        return lambda tensors: list(traced(*weights.values(), *tensors))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(
        self, x: Tensor, more: Mapping[str, Any] | None = None, by: float = 1.0
    ) -> dict[str, Any]:
        y = self.second(self.first(x)) * self.scale * by
        for one in (more or {}).get("added", ()):
            y = y + one
        return {"y": y, "both": (x, y.mean())}


class Sized(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image * 2 if image.shape[-1] > 8 else image


@pytest.fixture
def engine(tmp_path: Path) -> Script:
    made = Script()
    made.topologies = Topologies(tmp_path)
    return made


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected)


def test_nested_arguments_and_results_are_as_in_eager_mode(engine: Script) -> None:
    net = Net().eval()
    run = engine.prepare(net, "forward")
    with torch.no_grad():
        for rows in (1, 2, 5):
            x = torch.randn(rows, 3)
            same(run(x), net(x))
            more = {"added": [torch.randn(3), torch.randn(rows, 3)]}
            same(run(x, more=more, by=0.5), net(x, more=more, by=0.5))
    assert engine.conversions == 2
    assert set(net.state_dict()) == set(Net().state_dict())


def test_weights_are_the_networks_own(engine: Script) -> None:
    net = Net().eval()
    x = torch.ones(1, 3)
    with torch.no_grad():
        engine.prepare(net, "forward")(x)
        other = Net().eval()
        same(engine.prepare(other, "forward")(x), other(x))
    assert engine.conversions == 1
    assert list(weights_of(net)) == ["first.weight", "first.bias", "second.bias", "scale"]


def test_a_network_that_is_set_otherwise_is_converted_again(engine: Script) -> None:
    class Set(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by

    with torch.no_grad():
        for by in (2.0, 3.0):
            assert engine.prepare(Set(by), "forward")(torch.ones(2)).tolist() == [by, by]


def test_a_damaged_topology_is_made_again(engine: Script, tmp_path: Path) -> None:
    net, x = Net().eval(), torch.ones(1, 3)
    with torch.no_grad():
        engine.prepare(net, "forward")(x)
        (file,) = tmp_path.rglob("traced.pt")
        file.write_bytes(b"damaged")
        same(engine.prepare(net, "forward")(x), net(x))
    assert engine.conversions == 2


def test_a_network_whose_way_depends_on_sizes_is_refused(engine: Script, tmp_path: Path) -> None:
    run = engine.prepare(Sized(), "forward")
    for _ in range(2):
        with torch.no_grad(), pytest.raises(EngineRefusal, match="differs"):
            run(torch.ones(1, 1, 8, 8))
    assert engine.conversions == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_neither_tensor_nor_plain_value_is_refused(engine: Script) -> None:
    run = engine.prepare(Net().eval(), "forward")
    for wrong in (torch.Generator(), object()):
        with pytest.raises(EngineRefusal, match="can't take or return"):
            run(torch.ones(1, 3), more={"added": [wrong]})


def test_a_form_is_written_and_read() -> None:
    form, tensors = taken_apart(((torch.ones(2), None, 3), {"b": [torch.zeros(1)]}))
    again = Form.from_json(form.to_json())
    assert again == form
    same(again.filled(tensors), ((torch.ones(2), None, 3), {"b": [torch.zeros(1)]}))
    for wrong in ({}, {"tree": "[1", "leaves": []}, {**form.to_json(), "leaves": []}):
        with pytest.raises(ValueError):  # The text is that of torch.
            Form.from_json(wrong)


def test_a_distribution_is_taken_apart_and_made_again() -> None:
    one = DiagonalGaussianDistribution(torch.randn(1, 4, 2, 2))
    form, tensors = taken_apart(one)
    assert [tensor is one.parameters for tensor in tensors] == [True]
    assert torch.equal(form.filled(tensors).std, one.std)


def test_mapped_pages_are_given_back_unless_one_was_changed(tmp_path: Path) -> None:
    if available_memory() is None:
        pytest.skip("not Linux")
    file = tmp_path / "weights"
    np.arange(1 << 20, dtype=np.float32).tofile(file)

    def mapped() -> Tensor:
        return torch.from_file(str(file), shared=False, size=1 << 20, dtype=torch.float32)

    clean, changed = mapped(), mapped()
    changed[5] = -1
    clean.sum(), changed.sum()
    assert drop_mapped_pages([changed]) == 0
    assert changed[5] == -1
    assert drop_mapped_pages([clean]) >= clean.nbytes
    assert torch.equal(clean, torch.arange(1 << 20, dtype=torch.float32))
    assert drop_mapped_pages([torch.ones(1 << 20)]) == 0
