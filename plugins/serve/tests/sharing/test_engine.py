"""Calls of several threads are computed in one forward pass, and each gets what is its own."""

from __future__ import annotations

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from support.steered import NETWORK, POOLED, SDXL, UP, WIDTH, filled
from torch import Tensor, nn

from autopipe import (
    AutoPipelineForText2Image,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from autopipe.attaching.attachment import Attachment
from autopipe.attaching.recorder import difference
from autopipe.errors import ArgumentError, ArgumentTypeError, CancelledError
from autopipe_serve.sharing.engine import Shared, share

from .conftest import LONG, Call, Passes, together

ROUNDING = 1e-5
"""Kernels for other numbers of rows add a few thousand float32 numbers in another order."""

PICTURE = 2e-3
"""The same in pixels from 0 to 1, after a dozen steps that carry it on and 8 bits of rounding."""


class Net(nn.Module):
    """A network of rows that keeps how many it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.seen: list[int] = []

    def forward(self, sample: Tensor, timestep: Any, context: Tensor | None = None) -> Tensor:
        self.seen.append(len(sample))
        if bool((sample > 100).any()):
            raise ValueError("too large")
        steps = torch.as_tensor(timestep, dtype=sample.dtype).reshape(-1, 1)
        made: Tensor = self.layer(sample) * (1 + steps)
        return made if context is None else made + context


class Mean(Net):
    """A network whose rows depend on each other."""

    def forward(self, sample: Tensor, timestep: Any, context: Tensor | None = None) -> Tensor:
        return super().forward(sample, torch.as_tensor(timestep).float().mean(), context)


class Table(Net):
    """A network that looks timesteps up, so that it takes whole numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 1)

    def forward(self, sample: Tensor, timestep: Any, context: Tensor | None = None) -> Tensor:
        return super().forward(sample, self.table(torch.as_tensor(timestep)), context)


def made(kind: type[Net] = Net) -> Net:
    torch.manual_seed(0)
    return kind().eval()


def call(seed: int, timestep: Any, count: int = 1, **context: Any) -> Call:
    sample = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return lambda run: run(sample, timestep, **context)


def shared(network: nn.Module, **options: Any) -> Any:
    return Shared(**{"patience": LONG, **options}).prepare(network, "forward")


@torch.no_grad()
def test_a_single_caller_is_computed_alone_and_bitwise() -> None:
    network, engine, step = made(), Shared(), torch.tensor(3)
    run = engine.prepare(network, "forward")
    for seed in range(5):
        sample = torch.randn(2, 8, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(run(sample, step), network(sample, step))
    assert (engine.calls, engine.passes) == (5, 5)


def test_calls_of_several_threads_become_one_pass() -> None:
    network = made()
    engine = Shared(patience=LONG)
    calls = [call(0, 3), call(1, torch.tensor(0.5), 2), call(2, torch.tensor([4, 5, 6]), 3)]
    found = together(engine.prepare(network, "forward"), network.seen, calls, 6)
    assert network.seen[-1] == 6
    assert engine.passes < engine.calls
    with torch.no_grad():
        for one, own in zip(found, calls):
            assert difference(one, own(network)) <= ROUNDING


def test_calls_that_cant_be_joined_are_computed_apart() -> None:
    network = made()
    calls = [call(0, 3), call(1, 3), call(2, 3, context=torch.ones(8))]
    calls.append(call(2, 3, context=torch.ones(1, 8)))
    run = shared(network, patience=0.001)
    with ThreadPoolExecutor(4) as pool:
        work = torch.no_grad()(lambda place: calls[place % 4](run))
        found = list(pool.map(work, range(100)))
    with torch.no_grad():
        for place, one in enumerate(found):
            assert difference(one, calls[place % 4](network)) <= ROUNDING


def test_an_error_reaches_the_caller_that_caused_it_and_no_other() -> None:
    network = made()
    good = [call(0, 1), call(1, 2)]
    bad: Call = lambda run: run(torch.full((1, 8), 1e3), 3)  # noqa: E731
    found = together(shared(network), network.seen, [*good, call(2, 3)], 3, [good[0], bad, good[1]])
    assert isinstance(found[1], ValueError)
    with torch.no_grad():
        for one, own in zip(found[::2], good):
            assert torch.equal(one, own(network))


def test_a_network_whose_rows_depend_on_each_other_is_not_shared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, calls = made(Mean), [call(0, 3), call(1, 3)]
    with caplog.at_level(logging.WARNING):
        # All at one timestep: that this hides it must not matter later.
        found = together(shared(network), network.seen, calls, 2, [call(0, 3), call(1, 9)])
    with torch.no_grad():
        for one, own in zip(found, [call(0, 3), call(1, 9)]):
            assert torch.equal(one, own(network))
    assert len([r for r in caplog.records if "depend on each other" in r.message]) == 1


def test_whole_and_broken_timesteps_are_not_mixed_where_the_network_minds() -> None:
    network = made(Table)
    calls = [call(0, 3), call(1, 4)]
    broken = call(2, 0.5)
    run = shared(network, patience=0.2)
    found = together(run, network.seen, [*calls, call(2, 5)], 3, [*calls, broken])
    assert isinstance(found[2], Exception)
    with torch.no_grad():
        for one, own in zip(found, calls):
            assert difference(one, own(network)) <= ROUNDING
    network.seen.clear()
    together(run, network.seen, calls, 2)
    assert network.seen[-1] == 2


def test_numbers_that_are_none_say_nothing_about_a_network() -> None:
    network = made()
    nothing: Call = lambda run: run(torch.full((1, 8), float("nan")), 3)  # noqa: E731
    run = shared(network, patience=0.001)
    with torch.no_grad(), ThreadPoolExecutor(2) as pool:
        work = torch.no_grad()(lambda own: own(run))
        assert all(one.isnan().all() for one in pool.map(work, [nothing] * 8))
    network.seen.clear()
    found = together(shared(network), network.seen, [call(0, 3), call(1, 4)], 2)
    assert all(one.isfinite().all() for one in found)


def test_passes_have_no_more_rows_than_asked() -> None:
    network = made()
    together(shared(network, rows=4), network.seen, [call(seed, 3, 2) for seed in range(2)], 4)
    run = shared(network, rows=4, patience=0.001)
    with ThreadPoolExecutor(4) as pool:
        work = torch.no_grad()(lambda place: call(place, 3, 1 + place % 5)(run))
        sizes = [len(one) for one in pool.map(work, range(100))]
    assert sizes == [1, 2, 3, 4, 5] * 20
    # A call with more rows than that is a pass of its own.
    assert max(network.seen) == 5
    assert network.seen.count(5) == 20


def test_an_engine_may_compute_the_passes(passes: Passes) -> None:
    network = made()
    engine = Shared(of=passes, patience=LONG)
    run = engine.prepare(network, "forward")
    together(run, passes.seen, [call(0, 3), call(1, torch.tensor(4))], 2)
    # It sees one form of arguments, whether calls are joined or not.
    assert {(len(args), args[1].ndim) for args, _ in passes.given} == {(2, 1)}
    assert "passes" in engine.explain(network)


def test_mistakes_are_told() -> None:
    for options in ({"rows": 1}, {"patience": -1.0}, {"patience": float("nan")}):
        with pytest.raises(ArgumentError):
            Shared(**options)
    with pytest.raises(ArgumentTypeError):
        Shared(of="compile")  # type: ignore[arg-type]


def test_it_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(Shared(4, 0.5)))
    assert (again.rows, again.patience, again.of) == (4, 0.5, None)


UNETS = {
    "Stable Diffusion": {},
    "Stable Diffusion XL": SDXL,
}


def inputs(seed: int, count: int, *, is_xl: bool) -> dict[str, Any]:
    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))

    added = {"text_embeds": noise(POOLED), "time_ids": noise(6).abs() * 100}
    return {
        "encoder_hidden_states": noise(5, WIDTH),
        **({"added_cond_kwargs": added} if is_xl else {}),
    }


@pytest.mark.parametrize("line", UNETS)
def test_unets_and_controlnets_are_shared_with_all_their_inputs(line: str) -> None:
    unet = filled(lambda: UNet2DConditionModel(**{**NETWORK, **UP, **UNETS[line]}), 1)
    small = {"conditioning_embedding_out_channels": (4, 8)}
    controlnet = filled(lambda: ControlNetModel(**{**NETWORK, **small, **UNETS[line]}), 2)
    engine = Passes()
    shared = Shared(of=engine, patience=LONG)
    by = {network: shared.prepare(network, "forward") for network in (controlnet, unet)}

    def step(run: Any, seed: int, count: int, timestep: Any) -> Any:
        sample = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        given = inputs(seed, count, is_xl=bool(UNETS[line]))
        down, mid = run[controlnet](
            sample,
            timestep,
            controlnet_cond=sample[:, :3].repeat(1, 1, 2, 2).sigmoid(),
            conditioning_scale=0.5,
            return_dict=False,
            **given,
        )
        return run[unet](
            sample,
            timestep,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            **given,
        ).sample

    steps = [(0, 2, torch.tensor(981)), (1, 1, torch.tensor(3.25)), (2, 2, 500)]
    calls: list[Call] = [lambda run, own=own: step(run, *own) for own in steps]
    found = together(by, engine.seen, calls, 5)
    assert engine.seen[-2:] == [5, 5]
    with torch.no_grad():
        for one, own in zip(found, calls):
            expected = own({network: network for network in by})
            assert difference(one, expected) <= ROUNDING


@pytest.fixture
def pipe() -> Any:
    made = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    made.set_progress_bar_config(disable=True)
    return made


REQUESTS: list[tuple[type, dict[str, Any]]] = [
    (DDIMScheduler, {"prompt": "a red star on a white background", "num_inference_steps": 12}),
    (EulerDiscreteScheduler, {"prompt": "a green heart", "num_inference_steps": 9}),
    (DPMSolverMultistepScheduler, {"prompt": "a blue cross", "guidance_scale": 3.0}),
    (DDIMScheduler, {"prompt": "a pink square on a cyan background", "guidance_scale": 1.0}),
]


def draw(pipe: Any, place: int, **more: Any) -> Any:
    scheduler, settings = REQUESTS[place]
    view = type(pipe).from_pipe(pipe)
    view.set_progress_bar_config(disable=True)
    view.scheduler = scheduler.from_config(pipe.scheduler.config)
    given = {"num_inference_steps": 10, "height": 64, "width": 64, **settings, **more}
    generator = torch.Generator().manual_seed(place)
    return view(generator=generator, output_type="np", **given).images[0]


def test_requests_of_all_kinds_share_passes_and_get_their_pictures(pipe: Any) -> None:
    places = range(len(REQUESTS))
    expected = [draw(pipe, place) for place in places]
    # Patience for a busy machine: pictures are the same with any.
    engine = Shared(patience=0.1)
    pipe.use_engine({"unet": engine})
    with ThreadPoolExecutor(len(places)) as pool:
        found = list(pool.map(lambda place: draw(pipe, place), places))
    for one, own in zip(found, expected):
        assert np.abs(one - own).max() <= PICTURE
    assert engine.calls == 41
    assert engine.passes < engine.calls


def test_a_call_that_is_cancelled_leaves_the_others_their_pictures(pipe: Any) -> None:
    expected = [draw(pipe, place) for place in range(3)]
    pipe.use_engine({"unet": Shared(patience=0.1)})
    stop = threading.Event()

    def step_end(run: Any, step: int, timestep: Any, tensors: Any) -> Any:
        if step == 3:
            stop.set()
        return tensors

    def work(place: int) -> Any:
        options = {"cancellation": stop, "callback_on_step_end": step_end} if place == 1 else {}
        try:
            return draw(pipe, place, **options)
        except CancelledError as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(work, range(3)))
    assert isinstance(found[1], CancelledError)
    for place in (0, 2):
        assert np.abs(found[place] - expected[place]).max() <= PICTURE


class Halved(Attachment):
    """Halves what the first convolution of a network gives."""

    name = "halved"

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        if component != "unet":
            return {}
        return {"conv_in": lambda layer, *inputs: 0.5 * layer(*inputs)}


def test_networks_that_addons_change_are_computed_alone(pipe: Any) -> None:
    pipe.attach(Halved())
    expected = draw(pipe, 0, adapters={"halved": 1.0}), draw(pipe, 0, adapters={})
    engine = Shared(patience=0.1)
    pipe.use_engine({"unet": engine})

    def work(strengths: dict[str, float]) -> Any:
        return draw(pipe, 0, adapters=strengths)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, [{"halved": 1.0}, {}]))
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    assert engine.calls == engine.passes == 12


def test_share_chooses_it_where_it_helps_and_keeps_other_engines(pipe: Any) -> None:
    share(pipe)
    assert dict(pipe.engines) == {"unet": "shared"}
    pipe.use_engine({"unet": "compile", "vae": "compile"}, backend="eager")
    share(pipe)
    assert dict(pipe.engines) == {"unet": "shared", "vae": "compile"}
    assert "by compile" in pipe.explain()
    before = pipe.explain()
    share(type(pipe).from_pipe(pipe))
    assert pipe.explain() == before
