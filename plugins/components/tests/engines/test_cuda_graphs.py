"""CUDA graphs, with a recording that a CPU can replay: buffers and turns are the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal
from autopipe.errors import ArgumentTypeError
from autopipe_components.engines import cuda_graphs
from autopipe_components.engines.channels_last import ChannelsLast
from autopipe_components.engines.cuda_graphs import Captured, CudaGraphs


class Recorded(CudaGraphs):
    """Replays into the same output, as a graph does, and counts the recordings."""

    recordings = 0

    def refuses(self, component: str, network: nn.Module) -> str | None:
        return None

    def capture(self, run: Callable[[], Any]) -> Captured:
        self.recordings += 1
        output = run()
        tensors = [output] if isinstance(output, Tensor) else list(output.values())

        def replay() -> None:
            made = run()
            time.sleep(0.001)
            for old, new in zip(tensors, [made] if isinstance(made, Tensor) else made.values()):
                old.copy_(new)

        return replay, output


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor, step: Any = 0, *, more: dict[str, Tensor] | None = None) -> Tensor:
        added = sum(more.values(), torch.zeros(3)) if more else 0
        return self.layer(x) * step + added


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@torch.no_grad()
def test_a_recording_serves_all_values_of_one_shape(net: Net) -> None:
    engine = Recorded()
    run = engine.prepare(net, "forward")
    kept = []
    for number in range(4):
        x, step, more = torch.full((2, 3), float(number)), torch.tensor(number), torch.rand(3)
        kept.append((run(x, step, more={"a": more}), net(x, step, more={"a": more})))
    # Later calls don't overwrite what earlier ones returned.
    assert all(torch.equal(found, expected) for found, expected in kept)
    assert engine.recordings == 1
    run(torch.ones(5, 3), torch.tensor(1), more={"a": torch.ones(3)})
    run(torch.ones(2, 3), torch.tensor(1))
    assert engine.recordings == 3
    for step in (1, 2):
        assert torch.equal(run(torch.ones(2, 3), step), net(torch.ones(2, 3), step))


@torch.no_grad()
def test_the_recordings_not_used_for_longest_are_dropped(net: Net) -> None:
    engine = Recorded()
    run = engine.prepare(net, "forward")
    for rows in (*range(1, cuda_graphs._MOST + 2), 2, 3):
        run(torch.ones(rows, 3))
    assert engine.recordings == cuda_graphs._MOST + 1
    run(torch.ones(1, 3))
    assert engine.recordings == cuda_graphs._MOST + 2


def test_threads_take_turns(net: Net) -> None:
    run = Recorded().prepare(net, "forward")
    found: dict[int, Tensor] = {}

    def work(number: int) -> None:
        with torch.no_grad():
            found[number] = run(torch.full((2, 3), float(number)), 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, one in found.items():
        assert torch.equal(one, net(torch.full((2, 3), float(number)), 1))


@torch.no_grad()
def test_weights_that_change_in_place_need_no_new_recording(net: Net) -> None:
    engine = Recorded()
    state, run = engine.depends_on(net), engine.prepare(net, "forward")
    run(torch.ones(2, 3), 1)
    net.layer.weight.zero_()
    assert engine.depends_on(net) == state
    assert torch.equal(run(torch.ones(2, 3), 1), net(torch.ones(2, 3), 1))
    net.layer.weight = nn.Parameter(torch.ones(3, 3))
    assert engine.depends_on(net) != state


@torch.no_grad()
def test_what_is_recorded_may_be_prepared_by_another_engine(net: Net) -> None:
    engine = Recorded(of=ChannelsLast("bfloat16"))
    assert engine.tolerance == ChannelsLast("bfloat16").tolerance
    found = engine.prepare(net, "forward")(torch.ones(2, 3), 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, net(torch.ones(2, 3), 1), atol=0.05)
    assert not torch.equal(found, net(torch.ones(2, 3), 1))
    before = engine.depends_on(net)
    net.layer.weight.zero_()
    assert engine.depends_on(net) != before
    with pytest.raises(ArgumentTypeError, match="of='compile'"):
        CudaGraphs(of="compile")  # type: ignore[arg-type]


@torch.no_grad()
def test_an_output_that_can_not_be_copied_is_refused() -> None:
    class Wrapped:
        def __init__(self, value: Tensor) -> None:
            self.value = value

    class Wrapping(Net):
        def forward(self, x: Tensor) -> Any:  # type: ignore[override]
            return Wrapped(super().forward(x))

    class Unplayed(Recorded):
        def capture(self, run: Callable[[], Any]) -> Captured:
            return run, run()

    run = Unplayed().prepare(Wrapping().eval(), "forward")
    with pytest.raises(EngineRefusal, match="it returns a Wrapped"):
        run(torch.ones(2, 3))


def test_without_cuda_it_says_what_it_needs(net: Net) -> None:
    assert CudaGraphs().refuses("net", net) == "it is on cpu, and CUDA graphs need a CUDA device"
