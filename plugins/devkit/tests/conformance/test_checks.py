"""Every check passes for the example, and fails once the example is broken in its way."""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.dists import write_dist

from autopipe.errors import AutopipeError
from autopipe.manifest import Component, Family, Pipeline
from autopipe.pipeline.loop import denoise
from autopipe.registry import Registry, default_registry
from autopipe.resolution.discovery import discover
from autopipe.tasks import Task
from autopipe_devkit.conformance.checks import OF_A_FAMILY, OF_A_MEMBER, OF_A_TASK, tasks_of
from autopipe_devkit.conformance.subject import Subject
from autopipe_devkit.scaffold import EXAMPLE

from . import test_conduct, test_effects

CHECKS = {**OF_A_MEMBER, **OF_A_TASK}

Break = Callable[[pytest.MonkeyPatch, Any], None]


@pytest.fixture
def subjects(doodle: Family, tmp_path: Path) -> list[Subject]:
    """The pipelines of the example, by task."""
    made = []
    for pipeline in doodle.pipelines:
        scratch = tmp_path / pipeline.name
        scratch.mkdir()
        folder = EXAMPLE / "src/autopipe_doodle/demo"
        task = Task(pipeline.task or "")
        made.append(Subject(doodle, pipeline, folder, scratch, task, size=(16, 16)))
    return made


def part(name: str) -> Any:
    return importlib.import_module(f"autopipe_doodle.{name}")


def steps() -> Any:
    return part("steps")


def set_noise(patch: pytest.MonkeyPatch, make: Callable[..., torch.Tensor]) -> None:
    patch.setattr(steps().DoodleSteps, "_noise", make)


def noise_of_no_seed(patch: pytest.MonkeyPatch, cls: Any) -> None:
    set_noise(patch, lambda self, call, h, w: torch.randn(len(call.prompts), 3, h, w))


def noise_of_the_thread(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._noise
    main = threading.main_thread()
    set_noise(
        patch, lambda *given: original(*given) + (threading.current_thread() is not main) * 0.1
    )


def the_first_noise_for_all(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._noise
    set_noise(patch, lambda *given: original(*given)[:1].expand(len(given[1].prompts), -1, -1, -1))


def texts_of_a_batch_in_one(patch: pytest.MonkeyPatch, cls: Any) -> None:
    network = part("network").DoodleNetwork
    original = network.encode
    patch.setattr(
        network, "encode", lambda *a: original(*a).mean(0, keepdim=True).expand(len(a[1]), -1)
    )


def a_scheduler_that_is_used_up(patch: pytest.MonkeyPatch, cls: Any) -> None:
    scheduler = part("scheduler").DoodleScheduler
    patch.setattr(scheduler, "copy", lambda self: self)


def values_beyond_one(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._returned
    patch.setattr(
        steps().DoodleSteps, "_returned", lambda self, call, x: original(self, call, x * 0 + 1.5)
        if call.output_type == "pil" else original(self, call, x),
    )  # fmt: skip


def values_that_are_none(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._denoise
    patch.setattr(steps().DoodleSteps, "_denoise", lambda *given: original(*given) * float("nan"))


def a_tuple_of_something_else(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._returned
    patch.setattr(
        steps().DoodleSteps, "_returned", lambda self, call, x: original(self, call, x)
        if call.return_dict else original(self, call, x / 2),
    )  # fmt: skip


def tensors_from_minus_one(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps._returned
    patch.setattr(
        steps().DoodleSteps, "_returned", lambda self, call, x: original(self, call, x * 2 - 1)
        if call.output_type == "pt" else original(self, call, x),
    )  # fmt: skip


def no_callback(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(steps(), "denoise", lambda *a, callback_on_step_end, **k: denoise(*a, **k))


def no_changes(patch: pytest.MonkeyPatch, cls: Any) -> None:
    def deaf(*given: Any, callback_on_step_end: Any, **more: Any) -> Any:
        callback = callback_on_step_end and (lambda *step: callback_on_step_end(*step) and None)
        return denoise(*given, callback_on_step_end=callback, **more)

    patch.setattr(steps(), "denoise", deaf)


def no_interrupt(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "interrupt", False)


def no_cancel(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "check_cancelled", lambda self: None)


def copies_nothing(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "__deepcopy__", lambda self, memo: self)


def forgets_in_a_pickle(patch: pytest.MonkeyPatch, cls: Any) -> None:
    state = cls.__getstate__

    def less(self: Any) -> dict[str, Any]:
        return {name: one for name, one in state(self).items() if name != "network"}

    patch.setattr(cls, "__getstate__", less)


def talks_always(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "set_progress_bar_config", lambda self, **settings: None)


def never_shows_progress(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "set_progress_bar_config", lambda self, **settings: None)
    patch.setattr(cls, "progress_bar", lambda self, total: copy.copy(threading.Lock()))


def refuses_nothing(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(steps().Call, "check", lambda self: None)


def refuses_too_late(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().Call.check

    def check(self: Any) -> None:
        torch.nn.Linear(1, 1)(torch.zeros(1))
        original(self)

    patch.setattr(steps().Call, "check", check)


def copies_the_weights(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps.from_pipe.__func__

    def from_pipe(cls: Any, pipe: Any, **given: Any) -> Any:
        return original(cls, pipe, network=copy.deepcopy(pipe.network), **given)

    patch.setattr(steps().DoodleSteps, "from_pipe", classmethod(from_pipe))


def casts_the_source(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = steps().DoodleSteps.from_pipe.__func__
    patch.setattr(
        steps().DoodleSteps,
        "from_pipe",
        classmethod(lambda cls, pipe: original(cls, pipe.to(torch.float32))),
    )


def loads_something_else(patch: pytest.MonkeyPatch, cls: Any) -> None:
    network = part("network").DoodleNetwork
    change = classmethod(lambda cls, state: {k: v + 1 for k, v in state.items()})
    patch.setattr(network, "convert_state_dict", change)


def fails_without_it(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "_optional_components", ("scheduler",))


def lacks_a_parameter(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "__call__", lambda self, prompt: None)


def gathers_parameters(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = cls.__init__

    def init(self: Any, network: Any, scheduler: Any, **more: Any) -> None:
        original(self, network, scheduler)

    patch.setattr(cls, "__init__", init)


def forgets_an_entry_point(patch: pytest.MonkeyPatch, cls: Any) -> None:
    network = part("network").DoodleNetwork
    patch.setattr(network, "encode", network.encode.__wrapped__)


def names_no_component(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "model_cpu_offload_seq", "netwrok")


def encodes_past_add_ons(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "encoder", lambda self, component, encode: encode)


def predicts_past_add_ons(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "_predictor_of", lambda self, tensors, predict: predict)


def keeps_past_add_ons(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(cls, "_keeper_of", lambda self, keep: keep)


def remembers_add_ons(patch: pytest.MonkeyPatch, cls: Any) -> None:
    def detach(self: Any, name: str) -> None:
        self._pool.attachments = {
            f"{name} before" if known == name else known: one
            for known, one in self._pool.attachments.items()
        }
        self._strengths = dict.fromkeys(self._pool.attachments, 1.0)

    patch.setattr(cls, "detach", detach)


OF_MEANING = ("effects", "directions", "regions")
"""The modules of the checks that `test_effects.py` tries."""

BROKEN: list[tuple[str, Break]] = [
    ("seed", noise_of_no_seed),
    ("seed", a_scheduler_that_is_used_up),
    ("threads", noise_of_the_thread),
    ("batch", texts_of_a_batch_in_one),
    ("repeats", the_first_noise_for_all),
    ("outputs", values_that_are_none),
    ("outputs", a_tuple_of_something_else),
    ("pictures", values_beyond_one),
    ("tensors", tensors_from_minus_one),
    ("callback", no_callback),
    ("replacing", no_changes),
    ("callback", no_interrupt),
    ("cancel", no_cancel),
    ("copies", copies_nothing),
    ("copies", forgets_in_a_pickle),
    ("progress", talks_always),
    ("progress", never_shows_progress),
    ("refusals", refuses_nothing),
    ("refusals", refuses_too_late),
    ("views", copies_the_weights),
    ("views", casts_the_source),
    ("tasks", copies_the_weights),
    ("placement", forgets_an_entry_point),
    ("placement", names_no_component),
    ("attachments", encodes_past_add_ons),
    ("attachments", predicts_past_add_ons),
    ("attachments", keeps_past_add_ons),
    ("attachments", remembers_add_ons),
    ("saves", loads_something_else),
    ("optional", fails_without_it),
    ("protocol", lacks_a_parameter),
    ("protocol", gathers_parameters),
]


@pytest.mark.parametrize(("check", "broken"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_check_fails_where_its_promise_is_broken(
    check: str, broken: Break, subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subjects[0]
    with monkeypatch.context() as patch:
        broken(patch, subject.cls)
        with pytest.raises(Exception) as caught:
            CHECKS[check](subject)
    assert not isinstance(caught.value, AutopipeError), "it is no error of the check itself"


def test_every_check_of_a_pipeline_is_tried() -> None:
    conduct = {check for check, *_ in test_conduct.BROKEN}
    assert {check for check, _ in BROKEN} | conduct | test_effects.MEANING == set(CHECKS)


def test_a_stage_of_a_chain_serves_nothing_by_itself() -> None:
    stage = Pipeline("Decoder", "m:D", Task.INPAINT, "zoo.decoder", opens_as="zoo")
    assert tasks_of(stage) == ()
    assert tasks_of(replace(stage, opens_as=None)) == (Task.INPAINT,)


def test_targets_must_be_what_they_say(doodle: Family) -> None:
    check = OF_A_FAMILY["targets"]
    check(doodle)
    network, scheduler = doodle.components
    misnamed = replace(doodle.pipelines[0], name=doodle.pipelines[1].name)
    for wrong in (
        replace(doodle, pipelines=(misnamed,)),
        replace(doodle, components=(replace(network, kind="scheduler"),)),
        replace(doodle, components=(replace(scheduler, kind="model"),)),
        replace(doodle, components=(Component("Tensor", "torch:Tensor"),)),
        replace(doodle, components=(Component("DoodleNetwork", "autopipe_doodle.absent:X"),)),
    ):
        with pytest.raises(Exception):  # noqa: B017
            check(wrong)


def test_targets_of_rows_for_a_family_that_is_absent_are_left_alone(doodle: Family) -> None:
    row = Pipeline(
        "Row", "autopipe_absent.row:Row", Task.TEXT2IMAGE, "absent", conditions=frozenset({"hint"})
    )
    OF_A_FAMILY["targets"](replace(doodle, pipelines=(*doodle.pipelines, row)))
    here = replace(row, line=doodle.pipelines[0].line)
    with pytest.raises(AutopipeError):
        OF_A_FAMILY["targets"](replace(doodle, pipelines=(*doodle.pipelines, here)))


def test_an_empty_or_unused_family_is_no_family(doodle: Family) -> None:
    OF_A_FAMILY["manifest"](doodle)
    with pytest.raises(AssertionError):
        OF_A_FAMILY["manifest"](replace(doodle, api=1))
    with pytest.raises(KeyError):
        OF_A_FAMILY["manifest"](Family("unknown"))


@pytest.mark.parametrize("heavy", [True, False])
def test_a_manifest_that_imports_heavy_things_is_found(
    heavy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from autopipe import Component, Family, hookimpl\n" + heavy * "import numpy\n"
    source += (
        "@hookimpl\ndef autopipe_family():\n"
        "    return Family('weighed', components=(Component('W', 'weighed:W'),))\n"
    )
    write_dist(tmp_path, "autopipe-weighed", {"weighed": "weighed_family"})
    (tmp_path / "weighed_family.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("autopipe.registry._default", Registry(*discover()))
    family = default_registry().families["weighed"]
    if heavy:
        with pytest.raises(AssertionError, match="numpy"):
            OF_A_FAMILY["light"](family)
    else:
        OF_A_FAMILY["light"](family)
