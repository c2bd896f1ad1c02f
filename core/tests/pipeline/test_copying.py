"""Copies of pipelines, by `copy` and by pickle: what they share, and what is their own."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from support.relay import MODES, OFFLOADED, WIDTH, Coder, PaintingPipeline, RelayPipeline, relay
from support.relay import state as state_of
from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.config import register_to_config
from autopipe.errors import (
    ArgumentTypeError,
    CancelledError,
    ClosedPipelineError,
    PlacementError,
)
from autopipe.scheduling import SchedulerMixin


class Added(Attachment):
    """Adds to what the coder's layer gives."""

    def __init__(self) -> None:
        self.weights = nn.Linear(WIDTH, WIDTH)

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Any]:
        weights = self.weights
        assert weights is not None
        if component != "coder":
            return {}
        return {"layer": lambda layer, x: layer(x) + strength * weights(x)}


class Doubling(NetworkEngine):
    name = "doubling"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        own = network.forward if method == "forward" else getattr(network, method)
        return lambda *args: 2 * own(*args)


class Locked(Attachment):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class LockedEngine(Doubling):
    name = "locked"

    def __init__(self) -> None:
        self.lock = threading.Lock()


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


OWN = [copy.deepcopy, pickled]
"""What makes a copy with weights of its own."""
ALL = [*OWN, copy.copy]


def cancels_only_itself(pipe: RelayPipeline, other: RelayPipeline) -> bool:
    """Whether a running call of `pipe` goes on when `other` is cancelled."""
    pipe(callback=lambda run, step: other.cancel())
    with pytest.raises(CancelledError):
        pipe(callback=lambda run, step: pipe.cancel())
    return True


@pytest.mark.parametrize("make", ALL)
def test_a_copy_draws_the_same_and_has_calls_of_its_own(make: Any, expected: Tensor) -> None:
    pipe = relay()
    pipe.set_progress_bar_config(disable=True)
    made = make(pipe)
    assert type(made) is RelayPipeline
    assert list(made.components) == list(pipe.components)
    assert torch.equal(made(), expected)
    assert cancels_only_itself(pipe, made)
    assert cancels_only_itself(made, pipe)
    made.set_progress_bar_config(disable=False)
    assert pipe._progress_bar_config == {"disable": True}


@pytest.mark.parametrize("make", OWN)
def test_the_weights_of_a_deep_copy_are_its_own(make: Any, expected: Tensor) -> None:
    pipe = relay()
    made = make(pipe)
    with torch.no_grad():
        made.painter.weight.zero_()
    made.to(torch.float64)
    assert torch.equal(pipe(), expected)
    made.close()
    assert torch.equal(pipe(), expected)
    with pytest.raises(ClosedPipelineError):
        made()


def test_a_copy_shares_the_weights_and_what_holds_for_them() -> None:
    pipe = relay()
    made = copy.copy(pipe)
    assert made.painter is pipe.painter
    made.painter = nn.Identity()
    assert pipe.painter is not made.painter
    pipe.to(torch.float64)
    assert made.coder.dtype is torch.float64
    pipe.close()
    with pytest.raises(ClosedPipelineError):
        made()


@pytest.mark.parametrize("make", OWN)
def test_views_copied_together_still_share(make: Any) -> None:
    pipe = relay()
    one, other = make([pipe, PaintingPipeline.from_pipe(pipe)])
    assert one.painter is other.painter is not pipe.painter
    one.enable_model_cpu_offload(device="cpu")
    assert other.placement.title == "model offload"
    assert pipe.placement.title == "resident"


@pytest.mark.parametrize("mode", MODES)
def test_a_deep_copy_is_placed_as_the_pipeline_is(
    mode: str, modes: Any, pipe: RelayPipeline, expected: Tensor
) -> None:
    modes[mode](pipe)
    before = state_of(pipe)
    made = copy.deepcopy(pipe)
    assert state_of(pipe) == before
    assert str(made.placement) == str(pipe.placement)
    assert torch.equal(made(), expected)
    assert torch.equal(pipe(), expected)
    made.remove_all_hooks()
    assert made.placement.title == "resident"
    assert str(pipe.placement) == before["layout"]
    assert not {id(t) for n in made._networks().values() for t in n.parameters()} & {
        id(t) for n in pipe._networks().values() for t in n.parameters()
    }


@pytest.mark.parametrize("mode", OFFLOADED)
def test_a_network_that_is_placed_can_be_copied(
    mode: str, modes: Any, pipe: RelayPipeline, expected: Tensor
) -> None:
    modes[mode](pipe)
    resident = relay()
    resident.painter = copy.deepcopy(pipe.painter)
    assert torch.equal(resident(), expected)
    assert torch.equal(pipe(), expected)


@pytest.mark.parametrize("mode", OFFLOADED)
def test_hooks_of_a_process_are_not_pickled(mode: str, modes: Any, pipe: RelayPipeline) -> None:
    modes[mode](pipe)
    with pytest.raises(PlacementError, match=r"remove_all_hooks\(\)"):
        pickle.dumps(pipe)
    pipe.remove_all_hooks()
    assert pickled(pipe).placement.title == "resident"


@pytest.mark.parametrize("make", ALL)
def test_what_is_attached_goes_along(make: Any) -> None:
    pipe = relay()
    plain = pipe()
    pipe.attach(Added(), name="more", strength=0.5)
    expected = pipe()
    made = make(pipe)
    assert dict(made.attachments) == {"more": 0.5}
    assert torch.equal(made(), expected)
    made.set_attachments({})
    assert not torch.equal(made(), expected)
    assert torch.equal(pipe(), expected)
    assert not torch.equal(plain, expected)
    made.detach("more")
    assert ("more" in pipe.attachments) is (make is not copy.copy)


@pytest.mark.parametrize("make", ALL)
def test_engines_go_along(make: Any) -> None:
    pipe = relay().use_engine({"painter": Doubling()})
    expected = pipe()
    made = make(pipe)
    assert dict(made.engines) == {"painter": "doubling"}
    assert torch.equal(made(), expected)
    made.use_engine(None)
    assert ("painter" in pipe.engines) is (make is not copy.copy)


@pytest.mark.parametrize("make", OWN)
def test_an_attachment_that_can_not_go_along_is_refused_by_name(make: Any) -> None:
    pipe = relay()
    pipe.attach(Locked(), name="latch")
    with pytest.raises(ArgumentTypeError, match="the attachment 'latch', a Locked"):
        make(pipe)
    pipe.detach("latch")
    make(pipe)


def test_an_engine_that_can_not_be_pickled_is_refused_by_name() -> None:
    pipe = relay().use_engine(LockedEngine())
    assert copy.deepcopy(pipe).engines
    with pytest.raises(ArgumentTypeError, match="the engine 'locked', a LockedEngine"):
        pickle.dumps(pipe)


def test_a_view_of_a_network_is_copied_and_not_pickled() -> None:
    pipe = relay()
    pipe.attach(Added())
    x = torch.ones(1, WIDTH)
    made = copy.deepcopy(pipe.coder)
    assert torch.equal(made.decode(x), pipe.coder.decode(x))
    with pytest.raises(ArgumentTypeError, match="a view with attachments"):
        pickle.dumps(pipe.coder)
    pipe.set_attachments({})
    assert torch.equal(pickled(pipe.coder).decode(x), pipe.coder.decode(x))


@pytest.mark.parametrize("make", ALL)
def test_a_copy_made_inside_a_call_is_a_pipeline(make: Any, expected: Tensor) -> None:
    kept = []
    pipe = relay()
    pipe(callback=lambda run, step: kept.append(make(run)))
    for one in kept:
        assert torch.equal(one(), expected)
        assert cancels_only_itself(one, pipe)


@pytest.mark.parametrize("make", ALL)
def test_a_closed_pipeline_stays_closed(make: Any) -> None:
    pipe = relay()
    pipe.close()
    with pytest.raises(ClosedPipelineError):
        make(pipe)()


def test_attributes_of_a_user_and_cycles_are_copied() -> None:
    pipe: Any = relay()
    pipe.notes, pipe.myself = ["a"], pipe
    for make in OWN:
        made = make(pipe)
        assert made.notes == ["a"]
        assert made.notes is not pipe.notes
        assert made.myself is made


class Keeping(SchedulerMixin):
    @register_to_config
    def __init__(self, beta: float = 0.1) -> None:
        self.timesteps = torch.arange(3)


@pytest.mark.parametrize("make", ALL)
def test_schedulers_networks_and_records_of_calls(make: Any) -> None:
    scheduler = make(Keeping(0.3))
    assert (type(scheduler), scheduler.config.beta) == (Keeping, 0.3)
    assert torch.equal(scheduler.timesteps, torch.arange(3))
    assert make(Coder(2)).config.width == 2
    records: list[Any] = []
    relay()(value=2.0, steps=1, callback=None)
    pipe = relay()

    class Recording(RelayPipeline):
        @property
        def interrupt(self) -> bool:
            return False

        def check_cancelled(self) -> None:
            records.append(vars(self).get("call"))

    Recording(**pipe.components)(value=2.0)
    assert dict(make(records[-1])) == dict(records[-1])
    assert make(records[-1]).value == 2.0


def draw(pipe: RelayPipeline) -> Tensor:
    """What another process gives."""
    return pipe().clone()


def test_a_spawned_process_gets_a_pipeline(expected: Tensor) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert torch.equal(processes.apply_async(draw, (relay(),)).get(300), expected)
