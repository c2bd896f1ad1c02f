"""Each bug of conduct, what a call does beside drawing, is found by the check meant for it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe.manifest import Family
from autopipe.pipeline.loop import denoise
from autopipe.tasks import Task
from autopipe_devkit.conformance.checks import OF_A_MEMBER, OF_A_TASK
from autopipe_devkit.conformance.subject import Subject
from autopipe_devkit.scaffold import EXAMPLE

CHECKS = {**OF_A_MEMBER, **OF_A_TASK}

Break = Callable[[pytest.MonkeyPatch, Any], None]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What the broken pipelines leave changed is put back."""
    modes = torch.is_grad_enabled(), torch.get_default_dtype()
    environment = dict(os.environ)
    yield
    torch.set_grad_enabled(modes[0])
    torch.set_default_dtype(modes[1])
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def subjects(doodle: Family, tmp_path: Path) -> dict[str, Subject]:
    """The pipelines of the example, by task."""
    folder = EXAMPLE / "src/autopipe_doodle/demo"
    return {
        str(p.task): Subject(doodle, p, folder, tmp_path, Task(str(p.task)), size=(16, 16))
        for p in doodle.pipelines
    }


def part(name: str) -> Any:
    return importlib.import_module(f"autopipe_doodle.{name}")


def also(
    do: Callable[[Any, dict[str, Any]], Any], first: bool = False, always: bool = False
) -> Break:
    """Every call does this too: `first`, or after it has ended well, or `always` after it."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        original = cls.__call__

        @functools.wraps(original)
        def call(self: Any, **given: Any) -> Any:
            if first:
                do(self, given)
            try:
                made = original(self, **given)
            except Exception:
                if always:
                    do(self, given)
                raise
            if not first:
                do(self, given)
            return made

        patch.setattr(cls, "__call__", call)

    return broken


def when_it_fails(do: Callable[[], Any], undo: Callable[[], Any]) -> Break:
    """Every call does this first, and undoes it only if it ends well."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        also(lambda pipe, given: do(), first=True)(patch, cls)
        also(lambda pipe, given: undo())(patch, cls)

    return broken


def more_prompts(pipe: Any, given: dict[str, Any]) -> None:
    if isinstance(given["prompt"], list):
        given["prompt"].append("another")


def no_latents(pipe: Any, given: dict[str, Any]) -> None:
    if given.get("latents") is not None:
        given["latents"].zero_()


def paint(pipe: Any, given: dict[str, Any]) -> None:
    if hasattr(given["image"], "putpixel"):
        given["image"].putpixel((0, 0), (1, 2, 3))


def fixed_where_unseeded(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = part("steps").DoodleSteps._noise

    def noise(self: Any, call: Any, height: int, width: int) -> Any:
        if call.generator is not None:
            return original(self, call, height, width)
        shape = (len(call.prompts), 3, height, width)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    patch.setattr(part("steps").DoodleSteps, "_noise", noise)


def a_copy_of_the_generator(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = part("steps").DoodleSteps._noise

    def noise(self: Any, call: Any, *size: int) -> Any:
        if isinstance(call.generator, torch.Generator):
            same = torch.Generator().manual_seed(call.generator.initial_seed())
            call = dataclasses.replace(call, generator=same)
        return original(self, call, *size)

    patch.setattr(part("steps").DoodleSteps, "_noise", noise)


def in_turn(patch: pytest.MonkeyPatch, cls: Any) -> None:
    def for_each_picture(self: Any, given: Any) -> list[str]:
        count = 1 if isinstance(self.prompt, str) else len(self.prompt)
        texts = [given] * count if isinstance(given, str) else given
        return [*texts] * self.num_images_per_prompt

    patch.setattr(part("steps").Call, "_for_each_picture", for_each_picture)


def write_what_is_there(pipe: Any, given: dict[str, Any]) -> None:
    if given.get("latents") is not None:
        given["latents"].mul_(1)


def more_names(pipe: Any, given: dict[str, Any]) -> None:
    if "callback_on_step_end_tensor_inputs" in given:
        given["callback_on_step_end_tensor_inputs"].append("latents")


def with_gradients(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = part("steps").DoodleSteps._returned

    def returned(self: Any, call: Any, x: Any) -> Any:
        made = original(self, call, x)
        if call.output_type == "pt":
            made.images.requires_grad_()
        return made

    patch.setattr(part("steps").DoodleSteps, "_returned", returned)


def makes_its_own_scheduler(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = cls.from_pipe.__func__

    def from_pipe(cls: Any, pipe: Any, **more: Any) -> Any:
        made = original(cls, pipe, **more)
        default_scheduler(made)
        return made

    patch.setattr(cls, "from_pipe", classmethod(from_pipe))


def reseed_where_unseeded(pipe: Any, given: dict[str, Any]) -> None:
    if given.get("generator") is None:
        torch.manual_seed(0)


def told_otherwise(tell: Callable[[int, Any, Any], tuple[int, Any] | None]) -> Break:
    """A callback is told another step and timestep, or isn't called for None."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        def wrong(run: Any, tensors: Any, predict: Any, **more: Any) -> Any:
            callback = more.pop("callback_on_step_end")

            def otherwise(run: Any, step: int, timestep: Any, shown: Any) -> Any:
                told = tell(step, timestep, run.scheduler.timesteps)
                return None if told is None else callback(run, *told, shown)

            changed = otherwise if callback is not None else None
            return denoise(run, tensors, predict, callback_on_step_end=changed, **more)

        patch.setattr(part("steps"), "denoise", wrong)

    return broken


def offers_without_use(patch: pytest.MonkeyPatch, cls: Any) -> None:
    def offering(run: Any, tensors: Any, predict: Any, **more: Any) -> Any:
        tensors["prompt_embeds"] = torch.ones(1, 2, 3)
        return denoise(run, tensors, predict, **more)

    patch.setattr(part("steps"), "denoise", offering)
    patch.setattr(part("steps").Call, "check", lambda self: None)
    patch.setattr(cls, "_callback_tensor_inputs", ("latents", "prompt_embeds"))


def in_bfloat16(do: Callable[[Any], Any]) -> Break:
    """In bfloat16 the network gives something else."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        network = part("network").DoodleNetwork
        original = network.forward

        def forward(self: Any, *given: Any) -> Any:
            made = original(self, *given)
            return do(made) if made.dtype == torch.bfloat16 else made

        patch.setattr(network, "forward", forward)

    return broken


def fail(made: Any) -> None:
    raise RuntimeError("expected scalar type Float but found BFloat16")


def refuse(made: Any) -> None:
    raise ArgumentError("this network needs float32")


def returned(change: Callable[[Any, Any], Any]) -> Break:
    """What is returned is changed, given the record of the call and the pictures in [-1, 1]."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        original = part("steps").DoodleSteps._returned
        patch.setattr(
            part("steps").DoodleSteps, "_returned", lambda self, call, x: change(call, x)
            if call.output_type == "np" else original(self, call, x),
        )  # fmt: skip

    return broken


def as_output(array: Any) -> Any:
    from autopipe import ImagePipelineOutput

    return ImagePipelineOutput(array)


def turned(call: Any, x: Any) -> Any:
    return as_output((x / 2 + 0.5).clamp(0, 1).permute(0, 3, 2, 1).numpy())


def unclamped(call: Any, x: Any) -> Any:
    return as_output((x * 4 + 0.5).permute(0, 2, 3, 1).numpy())


def holed(call: Any, x: Any) -> Any:
    array = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    array[0, 0] = np.nan
    return as_output(array)


def kept_on_the_class(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = part("steps").DoodleSteps._denoise

    def leaking(self: Any, call: Any, *given: Any, **more: Any) -> Any:
        cls.guidance = call.guidance_scale
        torch.nn.Identity()(given[0])  # as a text encoder would be used here
        call.__dict__["guidance_scale"] = cls.guidance
        return original(self, call, *given, **more)

    patch.setattr(part("steps").DoodleSteps, "_denoise", leaking)
    patch.setattr(cls, "guidance", 0.0, raising=False)


def kept_on_the_network(patch: pytest.MonkeyPatch, cls: Any) -> None:
    network = part("network").DoodleNetwork
    original = network.forward

    def forward(self: Any, sample: Any, time: Any, text: Any) -> Any:
        self.__dict__["told"] = text[:1]
        torch.nn.Identity()(sample)
        return original(self, sample, time, text - text[:1] + self.__dict__["told"])

    patch.setattr(network, "forward", forward)


def one_scheduler_for_all(patch: pytest.MonkeyPatch, cls: Any) -> None:
    patch.setattr(part("scheduler").DoodleScheduler, "copy", lambda self: self)


def loaded(change: Callable[[Any], None]) -> Break:
    """What is loaded is changed."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        original = cls.from_pretrained.__func__

        def from_pretrained(cls: Any, *given: Any, **more: Any) -> Any:
            made = original(cls, *given, **more)
            change(made)
            return made

        patch.setattr(cls, "from_pretrained", classmethod(from_pretrained))

    return broken


def ignores_auto(patch: pytest.MonkeyPatch, cls: Any) -> None:
    original = cls.from_pretrained.__func__

    def from_pretrained(cls: Any, *given: Any, **more: Any) -> Any:
        wanted = more.pop("torch_dtype", "auto")
        return original(cls, *given, torch_dtype=torch.float32 if wanted == "auto" else wanted)

    patch.setattr(cls, "from_pretrained", classmethod(from_pretrained))


def switched(change: Callable[[Any], None]) -> Break:
    """What `from_pipe` makes without being given anything else is changed."""

    def broken(patch: pytest.MonkeyPatch, cls: Any) -> None:
        original = cls.from_pipe.__func__

        def from_pipe(cls: Any, pipe: Any, **more: Any) -> Any:
            made = original(cls, pipe, **more)
            if not more:
                change(made)
            return made

        patch.setattr(cls, "from_pipe", classmethod(from_pipe))

    return broken


def default_scheduler(pipe: Any) -> None:
    pipe.scheduler = type(pipe.scheduler)()


def only_contiguous(patch: pytest.MonkeyPatch, cls: Any) -> None:
    network = part("network").DoodleNetwork
    original = network.forward

    def forward(self: Any, *given: Any) -> Any:
        return self.enter.weight.view(-1) is not None and original(self, *given)

    patch.setattr(network, "forward", forward)


BROKEN: list[tuple[str, str, Break, str]] = [
    ("untouched", "text2image", also(more_prompts), "a call with lists changes its caller's prom"),
    ("untouched", "text2image", also(no_latents), "with latents changes its caller's latents"),
    ("untouched", "image2image", also(paint), "a call changes its caller's image"),
    ("untouched", "text2image", also(lambda *_: torch.manual_seed(0)), "random state of torch"),
    ("untouched", "text2image", also(lambda *_: np.random.seed(0)), "random state of numpy"),
    ("untouched", "text2image", also(lambda *_: random.random()), "random state of Python"),
    ("untouched", "inpaint", also(lambda *_: torch.set_grad_enabled(False)), "the grad mode"),
    ("untouched", "text2image", also(lambda p, _: p.network.eval()), "train or eval mode of net"),
    ("untouched", "text2image", also(lambda p, _: p.network.train()), "train or eval mode of net"),
    (
        "untouched", "text2image", also(lambda p, _: p.network.requires_grad_(False)),
        "a call in train mode changes requires_grad of network",
    ),
    (
        "untouched", "text2image", also(lambda *_: torch.set_default_dtype(torch.float64)),
        "the default dtype of torch",
    ),
    (
        "untouched", "text2image", also(lambda *_: warnings.simplefilter("error")),
        "the filters of warnings",
    ),
    ("untouched", "text2image", also(lambda *_: os.environ.update(ZOO="1")), "the environment"),
    (
        "untouched", "text2image", also(lambda p, _: p.scheduler.set_timesteps(7)),
        "the scheduler 'scheduler'",
    ),
    (
        "untouched", "text2image", also(lambda p, _: p.network.leave.bias.data.add_(1e-3)),
        "the weights of network",
    ),
    (
        "untouched", "text2image",
        when_it_fails(lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
        "a call that fails changes the grad mode",
    ),
    (
        "untouched", "text2image", also(lambda p, _: setattr(p, "seen", object()), always=True),
        "the attribute seen of the pipeline",
    ),
    ("untouched", "text2image", also(write_what_is_there), "writes into its caller's latents"),
    ("untouched", "text2image", also(more_names), "caller's callback_on_step_end_tensor_inputs"),
    ("seed", "text2image", a_copy_of_the_generator, "draws nothing from its generator itself"),
    ("repeats", "text2image", in_turn, "of two prompts, two each"),
    ("unseeded", "text2image", fixed_where_unseeded, "without a generator all make the same"),
    ("unseeded", "text2image", also(reseed_where_unseeded, first=True), "all make the same"),
    ("unseeded", "text2image", also(lambda *_: random.seed(1)), "the random state of Python"),
    ("callback", "text2image", told_otherwise(lambda i, t, all: (i + 1, t)), "told the steps"),
    ("callback", "text2image", told_otherwise(lambda i, t, all: (i, all[-1])), "the timesteps"),
    ("callback", "inpaint", told_otherwise(lambda i, t, all: (i, i)), "told the timesteps"),
    (
        "callback", "text2image", told_otherwise(lambda i, t, all: (i, t) if i == 0 else None),
        "told the timesteps",
    ),
    ("replacing", "text2image", offers_without_use, "prompt_embeds has no effect where a callback"),
    ("half", "text2image", in_bfloat16(lambda made: made * np.nan), "bfloat16 makes values that"),
    ("half", "text2image", in_bfloat16(fail), "bfloat16 ends with RuntimeError: expected scalar"),
    ("half", "text2image", in_bfloat16(lambda made: made * 0 + 9), "in bfloat16 results are"),
    ("half", "text2image", also(lambda p, _: p.network.float()), "changes the dtype of a network"),
    (
        "half", "text2image", also(lambda p, _: torch.set_default_dtype(p.dtype)),
        "a call in bfloat16 changes the default dtype of torch",
    ),
    ("half", "text2image", loaded(lambda p: p.to(torch.float32)), "no network is bfloat16"),
    ("pictures", "text2image", returned(turned), "output_type='pil' gives pictures of"),
    ("pictures", "text2image", returned(unclamped), "'np' gives values from .*, not in"),
    ("pictures", "text2image", returned(holed), "output_type='np' gives values that aren't finite"),
    ("tensors", "text2image", returned(turned), "output_type='pt' gives"),
    ("tensors", "text2image", with_gradients, "output_type='pt' gives a tensor that requires grad"),
    ("overlap", "text2image", kept_on_the_class, "two calls at the same time disturb each other"),
    ("overlap", "image2image", kept_on_the_network, "two calls at the same time disturb"),
    ("overlap", "text2image", one_scheduler_for_all, "two calls at the same time disturb"),
    ("keeps", "text2image", loaded(default_scheduler), "saving and loading doesn't keep num_train"),
    ("keeps", "text2image", switched(default_scheduler), "from_pipe doesn't keep num_train_times"),
    ("keeps", "text2image", makes_its_own_scheduler, "doesn't keep the scheduler that it is giv"),
    ("keeps", "text2image", ignores_auto, "saving and loading doesn't keep the dtype of network"),
    ("abilities", "text2image", only_contiguous, "channels_last fails in text2image"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "task"), sorted({(check, task) for check, task, *_ in BROKEN}))
def test_what_is_right_passes(check: str, task: str, subjects: dict[str, Subject]) -> None:
    CHECKS[check](subjects[task])


@pytest.mark.parametrize(
    ("check", "task", "broken", "said"), BROKEN, ids=[f"{c}-{said}" for c, _, _, said in BROKEN]
)
def test_a_bug_is_found_and_told(
    check: str,
    task: str,
    broken: Break,
    said: str,
    subjects: dict[str, Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, subjects[task].cls)
        with pytest.raises(AssertionError, match=said):
            CHECKS[check](subjects[task])


def test_a_refusal_of_half_precision_is_no_fault_and_is_told(
    subjects: dict[str, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subjects["text2image"]
    in_bfloat16(refuse)(monkeypatch, subject.cls)
    CHECKS["half"](subject)
    assert subject.notes.abilities["bfloat16"].startswith("no: ArgumentError: this network needs")
    assert subject.notes.abilities["float16"] == "yes"


def test_what_a_pipeline_can_do_is_found_out(subjects: dict[str, Subject]) -> None:
    subject = subjects["text2image"]
    CHECKS["abilities"](subject)
    CHECKS["overlap"](subject)
    found = subject.notes.abilities
    assert {found[name] for name in ("batch", "add-ons", "engines", "threads")} == {"yes"}
    assert found["tiling of the autoencoder"] == "no: the class has no enable_vae_tiling"


def test_embeddings_need_a_method_that_gives_them(
    subjects: dict[str, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subjects["text2image"]
    original: Any = subject.cls.__call__
    signature = inspect.signature(original)
    embeds = inspect.Parameter("prompt_embeds", inspect.Parameter.KEYWORD_ONLY, default=None)

    def call(*given: Any, **named: Any) -> Any:
        return original(*given, **named)

    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), embeds]
    )
    monkeypatch.setattr(subject.cls, "__call__", call)
    CHECKS["abilities"](subject)
    told = subject.notes.abilities["prompt embeddings"]
    assert told == "no: the class has no encode_prompt that gives them"


@pytest.fixture
def toy(toys: Family, tmp_path: Path) -> Subject:
    """A pipeline with an option."""
    import autopipe

    pipeline = toys.pipelines[0]
    cls = getattr(autopipe, pipeline.name)
    parts = {"network": autopipe.ToyNetwork().eval(), "scheduler": autopipe.ToyScheduler()}
    cls(**parts).save_pretrained(tmp_path / "toy")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Subject(toys, pipeline, tmp_path / "toy", scratch, Task(str(pipeline.task)))


def forget_the_option(pipe: Any) -> None:
    pipe.register_to_config(loud=False)


def test_an_option_that_is_kept_passes(toy: Subject) -> None:
    CHECKS["keeps"](toy)
    assert toy.notes.unchecked == []


@pytest.mark.parametrize(
    ("broken", "way"),
    [(loaded(forget_the_option), "saving and loading"), (switched(forget_the_option), "from_pipe")],
)
def test_an_option_that_is_lost_is_found(
    broken: Break, way: str, toy: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, toy.cls)
    with pytest.raises(AssertionError, match=f"^{way} doesn't keep the option loud"):
        CHECKS["keeps"](toy)
