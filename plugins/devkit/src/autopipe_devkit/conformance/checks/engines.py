"""Checks of an engine: that it gives what eager mode gives, or refuses, and leaves no trace."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import EngineRefusal, NetworkEngine, state_of
from autopipe.errors import AutopipeError
from autopipe.placement.base import networks_of

from ..engined import Engined, Forks, apart, change_weights, warned
from ..samples import batched, generators

LIKE = 1e-3
"""How far a picture of an engine that is exact may be away: eager mode's kernels differ as much."""


def results(engined: Engined) -> None:
    """The engine runs a network, and its outputs are within its tolerance of eager mode's."""
    engine, ran = engined.make(), 0
    for subject in engined.subjects:
        for call in engined.calls(subject):
            prepared = engined.run(engine, call)
            if prepared is None:
                continue
            ran += 1
            what = f"{call.method} of {engined.name_in(subject, call.network)}"
            with torch.no_grad():
                for kwargs in ({}, {"return_dict": False}, {"return_dict": True}):
                    if kwargs and "return_dict" not in call.kwargs:
                        continue
                    changed = {**call.kwargs, **kwargs}
                    own = getattr(call.network, call.method)
                    found = prepared(*call.args, **changed)
                    wrong = apart(found, own(*call.args, **changed), engine.tolerance)
                    assert wrong is None, f"{what}: {wrong}"
            engine.release(call.network)
    assert ran, "the engine runs no network of the checkpoint"


@torch.no_grad()
def sizes(engined: Engined) -> None:
    """What was prepared takes any size and batch that the networks take."""
    engine, subject = engined.make(), engined.subject
    width, height = subject.size
    changes: list[dict[str, Any]] = [{}]
    if {"height", "width"} <= set(subject.taken):
        changes += [{"width": 2 * width, "height": height}, {"width": width, "height": 2 * height}]
    if subject.serves is not None and batched(subject.task) and "generator" in subject.taken:
        names, given = batched(subject.task), subject.arguments()
        lists = {name: [given[name]] * 3 for name in names}
        changes.append({**lists, "generator": generators(0, 1, 2)})
    networks: dict[tuple[type, str], Any] = {}
    for change in changes:
        for call in engined.calls(**change):
            key = (type(call.network), call.method)
            if key not in networks:
                networks[key] = (call.network, engined.run(engine, call))
            network, prepared = networks[key]
            if prepared is None:
                continue
            own = getattr(network, call.method)
            try:
                wrong = apart(call.by(prepared), call.by(own), engine.tolerance)
            except EngineRefusal:
                continue
            assert wrong is None, f"{call.method} of the {key[0].__name__} with {change}: {wrong}"


def threads(engined: Engined) -> None:
    """Calls in several threads give what they give one after another, bitwise if it says so."""
    engine = engined.make()
    tolerance = 0.0 if engine.bitwise_in_threads else 2 * engine.tolerance
    first = {(type(c.network), c.method): c for c in engined.calls()}
    second = {(type(c.network), c.method): c for c in engined.calls(seed=1)}

    @torch.no_grad()
    def work(prepared: Any, call: Any) -> Any:
        return copy.deepcopy(call.by(prepared))

    for key, call in first.items():
        prepared = engined.run(engine, call)
        if prepared is None:
            continue
        others = [call, second.get(key, call)] * 8
        serial = [work(prepared, one) for one in others[:2]] * 8
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda one, run=prepared: work(run, one), others))
        for one, expected in zip(found, serial):
            wrong = apart(one, expected, tolerance)
            assert wrong is None, f"{key[1]} of the {key[0].__name__} in four threads: {wrong}"


def picture(engined: Engined) -> None:
    """The result of a call is that of eager mode, and what falls back to it is said."""
    engine, subject = engined.make(), engined.subject
    pipe = subject.load()
    expected = subject.result(pipe)
    refused = {
        name
        for name, network in networks_of(pipe.components).items()
        if engine.refuses(name, network) is not None
    }
    with warned() as said:
        _close(subject.result(pipe.use_engine(engine)), expected, engine, "the result")
    assert all(any(f" {name} " in one for one in said) for name in refused), (
        "a network runs in eager mode, and no warning says so"
    )
    plain = subject.result(pipe.use_engine(None))
    assert np.array_equal(plain, expected), "after use_engine(None) the result is another one"


def weights(engined: Engined) -> None:
    """Weights that change in place, are loaded, or are cast count from the next call on."""
    engine, subject = engined.make(), engined.subject
    pipe, eager = subject.load(), subject.load()
    pipe.use_engine(engine)
    before = subject.result(pipe)
    state = {}
    for network in networks_of(pipe.components).values():
        change_weights(network)
    for name, network in networks_of(eager.components).items():
        state[name] = copy.deepcopy(network.state_dict())
        change_weights(network)
    expected = subject.result(eager)
    assert not np.allclose(before, expected, atol=LIKE), "the weights hardly matter"
    _close(subject.result(pipe), expected, engine, "with weights that changed in place, the result")
    for name, network in networks_of(pipe.components).items():
        network.load_state_dict(state[name])
    _close(subject.result(pipe), before, engine, "with weights that were loaded, the result")
    for one in (pipe, eager):
        one.to(torch.bfloat16)
    for name, network in networks_of(eager.components).items():
        network.load_state_dict(networks_of(pipe.components)[name].state_dict())
    found, expected = subject.result(pipe), subject.result(eager)
    assert float(np.abs(found - expected).mean()) < 0.1, "cast to bfloat16, the result is another"


def several(engined: Engined) -> None:
    """One engine runs networks of one class with different weights, each with its own."""
    engine, subject = engined.make(), engined.subject
    one = subject.load()
    other = copy.deepcopy(one)
    for network in networks_of(other.components).values():
        change_weights(network)
    expected = [subject.result(one), subject.result(other)]
    for pipe, eager in zip((one, other), expected):
        _close(subject.result(pipe.use_engine(engine)), eager, engine, "the result of the second")
    _close(subject.result(one), expected[0], engine, "the result of the first")


class _Halved(Attachment):
    """Halves what the first convolution or linear layer of each network gives."""

    name = "halved"

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        for path, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                return {path: lambda layer, *inputs: 0.5 * layer(*inputs)}
        return {}


def changed(engined: Engined) -> None:
    """With add-ons, hooks, or in training mode, results are eager mode's, whatever runs them."""
    subject = engined.subject
    for what in ("add-ons", "hooks", "training mode"):
        engine = engined.make()
        pipe, eager = subject.load(), subject.load()
        plain = subject.result(eager)
        pipe.use_engine(engine)
        subject.result(pipe)
        for one in (pipe, eager):
            if what == "add-ons":
                one.attach(_Halved())
            for network in networks_of(one.components).values():
                if what == "hooks":
                    first = next(m for m in network.modules() if isinstance(m, nn.Linear))
                    first.register_forward_hook(lambda module, args, output: 0.5 * output)
                elif what == "training mode":
                    network.train()
        expected = subject.result(eager)
        if what != "training mode":
            assert not np.allclose(plain, expected, atol=LIKE), f"the {what} hardly matter"
        _close(subject.result(pipe), expected, engine, f"with {what}, the result")


def untouched(engined: Engined) -> None:
    """The network stays as it was: its tensors, attributes, hooks and saved files."""
    engine, subject = engined.make(), engined.subject
    pipe = subject.load()
    subject.result(pipe)
    networks = networks_of(pipe.components)
    before = {name: (state_of(one), _seen(one)) for name, one in networks.items()}
    subject.result(pipe.use_engine(engine))
    pipe.save_pretrained(subject.scratch / "saved")
    for name, network in networks.items():
        assert (state_of(network), _seen(network)) == before[name], f"the engine changed the {name}"
    again = subject.cls.from_pretrained(subject.scratch / "saved")
    for name, network in networks_of(again.components).items():
        saved, own = network.state_dict(), networks[name].state_dict()
        assert saved.keys() == own.keys(), f"{name} is saved with other keys"
        assert all(torch.equal(saved[key], own[key]) for key in own), f"{name} is saved otherwise"


def _seen(network: nn.Module) -> list[Any]:
    """Return what else an engine might leave in a network."""
    return [
        (list(vars(one)), len(one._forward_hooks), len(one._forward_pre_hooks), one.training)
        for one in network.modules()
    ]


def released(engined: Engined) -> None:
    """After `use_engine(None)` and `close()`, the engine keeps nothing of the networks alive."""
    engine, subject = engined.make(), engined.subject
    for ends in ("use_engine(None)", "close()"):
        pipe = subject.load()
        subject.result(pipe.use_engine(engine))
        alive = {n: weakref.ref(one) for n, one in networks_of(pipe.components).items()}
        if ends == "close()":
            pipe.close()
        else:
            pipe.use_engine(None)
        del pipe
        gc.collect()
        kept = [name for name, one in alive.items() if one() is not None]
        assert not kept, f"after {ends}, the engine keeps {', '.join(kept)} alive"


def refuses(engined: Engined) -> None:
    """It refuses with a reason, in words that end a sentence, and says so before it computes."""
    engine = engined.make()
    networks: dict[str, nn.Module] = dict(networks_of(engined.subject.load().components))
    with torch.device("meta"):
        networks["meta"] = nn.Linear(3, 3)
    networks["unknown"] = nn.Linear(3, 3)
    for name, network in networks.items():
        why: Any = engine.refuses(name, network.eval())
        if why is None:
            continue
        good = isinstance(why, str) and bool(why.strip()) and not why.rstrip().endswith(".")
        assert good, f"it refuses {name} with {why!r}, which doesn't end a sentence"


@torch.no_grad()
def forks(engined: Engined) -> None:
    """A network whose way depends on values is run as eager mode runs it, or refused."""
    engine, network = engined.make(), Forks().eval()
    if engine.refuses("network", network) is not None:
        return
    try:
        prepared = engine.prepare(network, "forward")
        for x in (torch.ones(2, 3), -torch.ones(2, 3)):
            wrong = apart(prepared(x), network(x), engine.tolerance)
            assert wrong is None, f"the network's other way is not taken: {wrong}"
    except EngineRefusal:
        return


def copies(engined: Engined) -> None:
    """Copies of a pipeline use the engine, and pickles do, or one of `autopipe.errors` says why."""
    engine, subject = engined.make(), engined.subject
    pipe = subject.load().use_engine(engine)
    expected = subject.result(pipe)
    made = [copy.deepcopy(pipe)]
    with suppress(AutopipeError):
        made.append(pickle.loads(pickle.dumps(pipe)))
    for one in made:
        assert dict(one.engines) == dict(pipe.engines), "the copy has other engines"
        _close(subject.result(one), expected, engine, "the result of a copy")


def _close(found: Any, expected: Any, engine: NetworkEngine, what: str) -> None:
    away = float(np.abs(found - expected).max())
    most = max(LIKE, 10 * engine.tolerance)
    assert away <= most, f"{what} is up to {away:.2g} away from that of eager mode"


OF_AN_ENGINE = {
    check.__name__: check
    for check in (
        *(results, sizes, threads, picture, weights, several),
        *(changed, untouched, released, refuses, forks, copies),
    )
}
"""The checks of an engine by name."""
