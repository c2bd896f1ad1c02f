"""The base pipeline, its calls and its loop, with a pipeline small enough to read."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from autopipe.config import register_to_config
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CancelledError,
    ClosedPipelineError,
)
from autopipe.manifest import Component, Family, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import accepted_options, callback_inputs, denoise
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe.scheduling import SchedulerMixin
from autopipe.tasks import Task


@dataclass
class Step:
    prev_sample: torch.Tensor


class CountingScheduler(SchedulerMixin):
    """Halves the sample, and counts its steps in state that must not leak between calls."""

    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000, order: int = 1) -> None:
        self.order = order
        self.steps_taken = 0
        self.timesteps = torch.arange(num_train_timesteps).flip(0)

    def set_timesteps(self, count: int) -> None:
        self.timesteps = torch.arange(count).flip(0)
        self.steps_taken = 0

    def step(self, output: torch.Tensor, t: Any, sample: torch.Tensor, eta: float = 0.0) -> Step:
        self.steps_taken += 1
        return Step(sample * 0.5 + output + self.steps_taken + eta)


class TinyPipeline(DiffusionPipeline):
    _optional_components: ClassVar[tuple[str, ...]] = ("checker",)
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "bias")

    def __init__(self, net: nn.Module, scheduler: Any, checker: Any = None, strict: bool = True):
        self.register_modules(net=net, scheduler=scheduler, checker=checker)
        self.register_to_config(strict=strict)

    @pipeline_call
    def __call__(
        self, value: float = 1.0, steps: int = 4, callback: Any = None, eta: float = 0.0
    ) -> torch.Tensor:
        self.scheduler.set_timesteps(steps)
        tensors = {"latents": torch.full((1, 3), value), "bias": torch.zeros(1, 3)}
        return denoise(
            self,
            tensors,
            lambda i, t: self.net(tensors["latents"]) + tensors["bias"],
            timesteps=self.scheduler.timesteps,
            step_options=accepted_options(self.scheduler, eta=eta, generator=None),
            callback_on_step_end=callback,
            callback_inputs=self._callback_tensor_inputs,
        )


class OtherPipeline(DiffusionPipeline):
    """Another task on the same components; declares `extra` and not `strict`."""

    def __init__(self, net: nn.Module, scheduler: Any, extra: int = 3):
        self.register_modules(net=net, scheduler=scheduler)
        self.register_to_config(extra=extra)


class NeedyPipeline(DiffusionPipeline):
    def __init__(self, net: nn.Module, scheduler: Any, second: nn.Module):
        self.register_modules(net=net, scheduler=scheduler, second=second)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    family = Family(
        "tiny",
        pipelines=(Pipeline("TinyPipeline", target_of(TinyPipeline), Task.TEXT2IMAGE, "tiny"),),
        components=(
            Component("Linear", target_of(nn.Linear)),
            Component("CountingScheduler", target_of(CountingScheduler), kind="scheduler"),
        ),
    )
    table = Registry([Installed(Plugin("tiny", "d", "1"), family)])
    monkeypatch.setattr("autopipe.pipeline.components.default_registry", lambda: table)
    return table


@pytest.fixture
def pipe() -> TinyPipeline:
    torch.manual_seed(0)
    made = TinyPipeline(nn.Linear(3, 3), CountingScheduler())
    made.set_progress_bar_config(disable=True)
    return made


# What it declares and holds


def test_modules_and_options_are_told_apart() -> None:
    assert TinyPipeline.module_names() == ("net", "scheduler", "checker")
    assert TinyPipeline.optional_components() == ("checker",)
    assert TinyPipeline.option_names() == ("strict",)


def test_config_is_the_index_and_can_not_be_changed(pipe: TinyPipeline) -> None:
    assert pipe.config.net == ("diffusers", "Linear")
    assert pipe.config.checker == (None, None)
    assert pipe.config["strict"] is True
    assert pipe.config["_class_name"] == "TinyPipeline"
    with pytest.raises(TypeError):
        pipe.config["strict"] = False
    assert repr(pipe).startswith("TinyPipeline {")
    assert '"net": [' in repr(pipe)


def test_an_undeclared_component_class_is_refused_by_name() -> None:
    strange = TinyPipeline(nn.Conv2d(1, 1, 1), CountingScheduler())
    with pytest.raises(ArgumentError, match="'net' is a Conv2d"):
        strange.index()
    assert '"Conv2d"' in repr(strange)


def test_a_component_can_be_replaced(pipe: TinyPipeline) -> None:
    net = nn.Linear(3, 3)
    pipe.net = net
    assert pipe.components["net"] is net


# Views


def test_a_view_shares_modules_and_owns_its_scheduler(pipe: TinyPipeline) -> None:
    pipe.net.half()
    pointer = pipe.net.weight.data_ptr()
    view = OtherPipeline.from_pipe(pipe)
    assert view.net is pipe.net
    assert (view.net.weight.data_ptr(), view.dtype) == (pointer, torch.float16)
    assert view.scheduler is not pipe.scheduler
    assert view.scheduler.config == pipe.scheduler.config


def test_options_survive_a_view_that_does_not_declare_them(pipe: TinyPipeline) -> None:
    view = OtherPipeline.from_pipe(TinyPipeline.from_pipe(pipe, strict=False), extra=7)
    back = TinyPipeline.from_pipe(view)
    assert back.options["strict"] is False
    assert OtherPipeline.from_pipe(back).options["extra"] == 7
    assert pipe.options["strict"] is True


def test_bad_views_are_refused(pipe: TinyPipeline) -> None:
    with pytest.raises(ArgumentTypeError, match="'strict'"):
        TinyPipeline.from_pipe(pipe, strct=True)
    with pytest.raises(ArgumentError, match="second"):
        NeedyPipeline.from_pipe(pipe)
    with pytest.raises(ArgumentError, match="shares the weights"):
        OtherPipeline.from_pipe(pipe, torch_dtype=torch.float16)
    assert OtherPipeline.from_pipe(pipe, torch_dtype=torch.float32).net is pipe.net


def test_closing_ends_all_views_and_frees_the_weights(pipe: TinyPipeline) -> None:
    view, alive = OtherPipeline.from_pipe(pipe), weakref.ref(pipe.net)
    view.close()
    gc.collect()
    assert alive() is None
    for use in (lambda: pipe(), lambda: pipe.components, lambda: pipe.net, lambda: view.to("cpu")):
        with pytest.raises(ClosedPipelineError, match="load the checkpoint again"):
            use()
    assert "closed" in repr(pipe)


def test_a_with_block_closes() -> None:
    with TinyPipeline(nn.Linear(3, 3), CountingScheduler()) as pipe:
        assert pipe.device.type == "cpu"
    with pytest.raises(ClosedPipelineError):
        pipe()


# Placement


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((torch.bfloat16,), {}),
        (("cpu", torch.bfloat16), {}),
        ((torch.bfloat16, "cpu"), {}),
        (("cpu",), {"dtype": torch.bfloat16}),
        ((), {"torch_dtype": torch.bfloat16, "torch_device": "cpu"}),
    ],
)
def test_to_takes_a_dtype_a_device_or_both(
    pipe: TinyPipeline, arguments: tuple, keywords: dict
) -> None:
    assert pipe.to(*arguments, **keywords) is pipe
    assert (pipe.dtype, pipe.device.type) == (torch.bfloat16, "cpu")


@pytest.mark.parametrize(
    ("arguments", "keywords", "error"),
    [
        (("nowhere",), {}, ArgumentError),
        (("cpu", "meta"), {}, ArgumentError),
        ((1.5,), {}, ArgumentTypeError),
        ((), {"dtpe": torch.float16}, ArgumentTypeError),
        ((), {"dtype": "half"}, ArgumentTypeError),
    ],
)
def test_to_refuses_what_it_can_not_do(
    pipe: TinyPipeline, arguments: tuple, keywords: dict, error: type[Exception]
) -> None:
    with pytest.raises(error):
        pipe.to(*arguments, **keywords)
    assert pipe.dtype is torch.float32


# Calls


def test_unknown_arguments_are_named_with_the_nearest(pipe: TinyPipeline) -> None:
    with pytest.raises(ArgumentTypeError, match="'steps'") as caught:
        pipe(step=3)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(ArgumentTypeError, match="multiple values"):
        pipe(1.0, value=2.0)


def test_threads_give_the_results_of_serial_calls(pipe: TinyPipeline) -> None:
    jobs = [(float(i), 3 + i % 5) for i in range(32)]
    serial = [pipe(value, steps) for value, steps in jobs]
    with ThreadPoolExecutor(8) as threads:
        parallel = list(threads.map(lambda job: pipe(*job), jobs))
    assert all(torch.equal(a, b) for a, b in zip(serial, parallel, strict=True))


def test_a_call_leaves_no_trace(pipe: TinyPipeline) -> None:
    before, scheduler = dict(pipe.__dict__), pipe.scheduler
    pipe(steps=2)
    assert pipe.scheduler is scheduler
    assert scheduler.steps_taken == 0
    assert len(scheduler.timesteps) == 1000
    assert pipe.__dict__ == before
    assert not pipe(steps=1).requires_grad


class DoublePipeline(TinyPipeline):
    """Puts something around the call of the class it extends."""

    @pipeline_call
    def __call__(self, value: float = 1.0, callback: Any = None) -> torch.Tensor:  # type: ignore[override]
        self.run_inside = self
        return super().__call__(2 * value, callback=callback)


def test_a_call_inside_a_call_of_a_subclass_is_the_same_run() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    plain, double = (kind(net, CountingScheduler()) for kind in (TinyPipeline, DoublePipeline))
    seen: list[Any] = []

    def note(run: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(run.run_inside is run)
        return tensors

    assert torch.equal(double(1.5, note), plain(3.0))
    assert seen == [True] * 4
    assert not hasattr(double, "run_inside")

    def again(run: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if i == 0:
            # A whole call of its own, which must not disturb the one that is under way.
            assert torch.equal(run(1.5), plain(3.0))
        return tensors

    assert torch.equal(double(1.5, again), plain(3.0))

    def cancel(run: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        double.cancel()
        return tensors

    with pytest.raises(CancelledError):
        double(1.5, cancel)
    with pytest.raises(ArgumentTypeError, match="valeu"):
        double(valeu=1.0)  # type: ignore[call-arg]


def test_step_options_are_those_that_the_scheduler_takes(pipe: TinyPipeline) -> None:
    assert accepted_options(pipe.scheduler, eta=1.0, generator=None) == {"eta": 1.0}
    assert torch.equal(pipe(steps=1, eta=1.0), pipe(steps=1) + 1.0)


def test_a_callback_sees_and_replaces_tensors(pipe: TinyPipeline) -> None:
    seen = []

    def callback(run: Any, step: int, t: torch.Tensor, tensors: dict) -> dict | None:
        seen.append((step, int(t), sorted(tensors), run.num_timesteps))
        return {"latents": torch.zeros(1, 3), "bias": torch.zeros(1, 3)} if step == 2 else None

    result = pipe(steps=3, callback=callback)
    assert seen == [(i, 2 - i, ["bias", "latents"], 3) for i in range(3)]
    assert torch.equal(result, torch.zeros(1, 3))
    with pytest.raises(ArgumentError, match="returned list;"):
        pipe(callback=lambda *a: [])


def test_interrupt_skips_the_rest_without_further_callbacks(pipe: TinyPipeline) -> None:
    steps: list[int] = []

    def stop(run: Any, step: int, t: Any, tensors: dict) -> None:
        steps.append(step)
        run._interrupt = step == 1

    assert torch.equal(pipe(steps=9, callback=stop), pipe(steps=9, callback=stop))
    assert steps == [0, 1, 0, 1]
    assert pipe.interrupt is False


def test_interrupt_on_the_pipeline_reaches_its_running_calls(pipe: TinyPipeline) -> None:
    steps: list[int] = []

    def stop(run: Any, step: int, t: Any, tensors: dict) -> None:
        steps.append(step)
        pipe._interrupt = True

    pipe(steps=9, callback=stop)
    assert steps == [0]
    steps.clear()
    pipe(steps=2, callback=lambda run, step, t, tensors: steps.append(step))
    assert steps == [0, 1]


def test_cancelling_from_another_thread_leaves_the_pipeline_usable(pipe: TinyPipeline) -> None:
    inside, outcome = threading.Event(), []
    cancelled = threading.Event()

    def wait(run: Any, step: int, t: Any, tensors: dict) -> None:
        inside.set()
        assert cancelled.wait(10)

    def work() -> None:
        try:
            pipe(steps=5, callback=wait)
        except CancelledError as error:
            outcome.append(error)

    expected = pipe(steps=5)
    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    pipe.cancel()
    cancelled.set()
    thread.join(10)
    assert len(outcome) == 1
    assert torch.equal(pipe(steps=5), expected)


def test_an_error_inside_a_callback_comes_out_and_leaves_no_call_behind(pipe: TinyPipeline) -> None:
    def fail(*args: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pipe(callback=fail)
    assert not pipe._calls


def test_solver_steps_of_order_two_are_reported_once() -> None:
    reported: list[int] = []

    class Reporting(TinyPipeline):
        @pipeline_call
        def __call__(self, steps: int = 4) -> torch.Tensor:
            self.scheduler.set_timesteps(steps)
            return denoise(
                self,
                {"latents": torch.zeros(1, 3)},
                lambda i, t: torch.zeros(1, 3),
                timesteps=self.scheduler.timesteps,
                on_step=lambda step, t, latents: reported.append(int(t)),
            )

    pipe = Reporting(nn.Linear(3, 3), CountingScheduler(order=2))
    pipe.set_progress_bar_config(disable=True)
    pipe(steps=5)
    assert reported == [3, 1, 0]


def test_timesteps_beyond_the_steps_asked_for_are_not_reported() -> None:
    reported: list[int] = []

    class Reporting(TinyPipeline):
        @pipeline_call
        def __call__(self) -> torch.Tensor:
            self.scheduler.set_timesteps(5)
            return denoise(
                self,
                {"latents": torch.zeros(1, 3)},
                lambda i, t: torch.zeros(1, 3),
                timesteps=self.scheduler.timesteps,
                steps=4,
                on_step=lambda index, t, latents: reported.append(index),
            )

    pipe = Reporting(nn.Linear(3, 3), CountingScheduler())
    pipe.set_progress_bar_config(disable=True)
    pipe()
    assert reported == [1, 2, 3, 4]


def test_a_callback_may_name_its_tensors_itself() -> None:
    class Callback:
        tensor_inputs = ("bias",)

    assert callback_inputs(Callback(), ["latents"]) == ("bias",)
    assert callback_inputs(print, ["latents"]) == ("latents",)
    assert callback_inputs(None, None) == ()


def test_a_tokenizer_has_one_lock_in_all_pipelines(pipe: TinyPipeline) -> None:
    class Tokenizer:
        pass

    tokenizer = Tokenizer()
    other = TinyPipeline(nn.Linear(3, 3), CountingScheduler())
    assert pipe.tokenizing(tokenizer) is other.tokenizing(tokenizer)
    assert pipe.tokenizing(tokenizer) is not pipe.tokenizing(Tokenizer())


def test_progress_can_be_silenced(pipe: TinyPipeline, capfd: pytest.CaptureFixture[str]) -> None:
    pipe(steps=2)
    assert capfd.readouterr().err == ""
    pipe.set_progress_bar_config(disable=False)
    pipe(steps=2)
    assert "2/2" in capfd.readouterr().err
    with pytest.raises(ArgumentError):
        pipe.progress_bar()


def test_the_record_of_a_call_has_every_argument_and_is_constant() -> None:
    net = nn.Linear(3, 3)
    records: list[Any] = []

    def note(run: Any, i: int, t: Any, tensors: dict[str, Any]) -> None:
        records.append(run.call)

    double = DoublePipeline(net, CountingScheduler())
    double(1.5, note)
    record = records[0]
    # That of the class extended, inside its call: what `super().__call__` was given, and defaults.
    assert dict(record) == {"value": 3.0, "steps": 4, "callback": note, "eta": 0.0}
    assert record.steps == 4
    assert record.get("clip_skip") is None
    assert dict(record.replace(steps=2))["steps"] == 2
    assert record.steps == 4
    with pytest.raises(AttributeError, match="no argument 'stepz'"):
        _ = record.stepz
    with pytest.raises(AttributeError, match="immutable"):
        record.steps = 5
    assert not hasattr(double, "call")
