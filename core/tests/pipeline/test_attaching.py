"""Add-ons and engines on a pipeline small enough to read."""

from __future__ import annotations

import copy
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.raised import each_error
from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.config import register_to_config
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClosedPipelineError,
    MissingPluginError,
    PluginError,
)
from autopipe.manifest import AddOn, Component, Engine, Family, Pipeline
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import denoise
from autopipe.placement.base import float32_copy
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe.scheduling import SchedulerMixin
from autopipe.tasks import Input


class Net(ModelMixin):
    @register_to_config
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class HalvingScheduler(SchedulerMixin):
    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000) -> None:
        self.timesteps = torch.arange(4).flip(0)

    def step(self, output: Tensor, t: Any, sample: Tensor) -> Any:
        return type("Step", (), {"prev_sample": sample * 0.5 + output})()


class TextPipeline(DiffusionPipeline):
    def __init__(self, net: Any, scheduler: Any) -> None:
        self.register_modules(net=net, scheduler=scheduler)

    @pipeline_call
    def __call__(self, prompt: str = "", callback: Any = None) -> Tensor:
        encode = self.encoder("text", lambda text: torch.full((1, 3), float(len(text))))
        tensors = {"latents": encode(prompt)}
        return denoise(
            self,
            tensors,
            lambda step, t: self.net(tensors["latents"]),
            timesteps=self.scheduler.timesteps,
            callback_on_step_end=callback,
        )


class OtherPipeline(TextPipeline):
    pass


class Shift(Attachment):
    """On weights: adds to what the layer gives."""

    name = "shift"

    def __init__(self, source: str | None = None, by: float = 1.0) -> None:
        self.weights = nn.Linear(3, 3)
        nn.init.constant_(self.weights.weight, by)
        self.source = source

    def check(self, pipe: Any) -> None:
        if "net" not in pipe.components:
            raise ArgumentError("shift needs a net")

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Any]:
        weights = self.weights
        assert weights is not None
        return {"inner.0": lambda layer, x: layer(x) + strength * weights(x)}


class Louder(Attachment):
    """On the prediction, with an argument of calls and a state of its own."""

    name = "louder"
    inputs = (Input("louder_scale", "number", required=False),)

    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        steps = iter(range(1, 100))
        scale = 1.0 if run.call.louder_scale is None else run.call.louder_scale
        return lambda step, t: predict(step, t) * (1 + strength * scale * next(steps))


class Shout(Attachment):
    """On the prompt, and on latents after each step."""

    name = "shout"
    order = -1

    def encode(self, run: Any, component: str, encode: Any, strength: float) -> Any:
        return lambda text: encode(text.upper() + "!")

    def after_step(self, run: Any, strength: float) -> Any:
        return lambda step, t, latents: latents + strength


class Counting(Attachment):
    """On the network and the prediction: counts the network's calls in each pipeline call."""

    name = "counting"
    inputs = (Input("least", "number", required=False),)
    counted = None

    def of_call(self, run: Any) -> Counting:
        if (run.call.least or 0) < 0:
            raise ArgumentError("least is negative")
        made = Counting()
        made.counted = []
        return made

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Any]:
        counted = self.counted
        if counted is None:
            return {}
        return {"inner": lambda layer, x: (counted.append(1), layer(x))[1]}

    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        return lambda step, t: predict(step, t) * 0 + len(self.counted)


class Doubling(NetworkEngine):
    """Runs a network, and gives double so that one sees it."""

    name = "doubling"
    prepared: ClassVar[list[str]] = []
    released: ClassVar[list[object]] = []

    def __init__(self, refusing: str | None = None) -> None:
        self.refusing = refusing

    def refuses(self, component: str, network: nn.Module) -> str | None:
        return self.refusing

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        self.prepared.append(method)
        return lambda *args: 2 * getattr(network, method)(*args)

    def release(self, network: nn.Module) -> None:
        self.released.append(network)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(
        "texts",
        pipelines=tuple(
            Pipeline(c.__name__, target_of(c), task, "texts")
            for c, task in ((TextPipeline, "text2image"), (OtherPipeline, "inpaint"))
        ),
        components=(
            Component("Net", target_of(Net), library="texts"),
            Component("HalvingScheduler", target_of(HalvingScheduler), "texts", "scheduler"),
        ),
        addons=(
            AddOn("shift", target_of(Shift)),
            AddOn("louder", target_of(Louder), Louder.inputs),
        ),
        engines=(Engine("doubling", target_of(Doubling)),),
    )
    table = Registry([Installed(Plugin("texts", "d-texts", "1"), family)])
    monkeypatch.setattr("autopipe.registry._default", table)
    Doubling.prepared.clear()
    Doubling.released.clear()


@pytest.fixture
def pipe() -> TextPipeline:
    torch.manual_seed(0)
    made = TextPipeline(Net().eval(), HalvingScheduler())
    made.set_progress_bar_config(disable=True)
    return made


ALL: dict[str, Callable[[], Attachment]] = {"shift": Shift, "louder": Louder, "shout": Shout}


@pytest.mark.parametrize("name", ALL)
def test_it_acts_while_it_is_on_and_leaves_no_trace(pipe: TextPipeline, name: str) -> None:
    net, plain = pipe.net, pipe("hello")
    pipe.attach(ALL[name]())
    acting = pipe("hello")
    assert not torch.equal(acting, plain)
    assert torch.equal(pipe("hello"), acting)
    pipe.set_attachments({})
    assert torch.equal(pipe("hello"), plain)
    pipe.set_attachments({name: 0.5})
    half = pipe("hello")
    assert dict(pipe.attachments) == {name: 0.5}
    if name != "shout":
        assert not torch.equal(half, plain)
        assert not torch.equal(half, acting)
    pipe.detach(name)
    assert torch.equal(pipe("hello"), plain)
    assert dict(pipe.attachments) == {}
    assert pipe.net is net


class Predicting(Attachment):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change = change

    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        return lambda step, t: self.change(predict(step, t))


class Plus(Predicting):
    order = -1


class Times(Predicting):
    pass


def test_they_compose_by_order_and_then_as_they_were_attached(pipe: TextPipeline) -> None:
    def drawn(*attachments: Attachment) -> Tensor:
        for number, one in enumerate(attachments):
            pipe.attach(one, name=f"number {number}")
        made = pipe("hello")
        for name in list(pipe.attachments):
            pipe.detach(name)
        return made

    plus, twice = Plus(lambda p: p + 1), Times(lambda p: 2 * p)
    square = Times(lambda p: p * p)
    together = drawn(Times(lambda p: 2 * (p + 1)))
    assert torch.equal(drawn(plus, twice), together)
    assert torch.equal(drawn(twice, plus), together)
    assert torch.equal(drawn(twice, square), drawn(Times(lambda p: (2 * p) * (2 * p))))
    assert torch.equal(drawn(square, twice), drawn(Times(lambda p: 2 * (p * p))))


def test_a_call_says_otherwise_for_itself(pipe: TextPipeline) -> None:
    plain = pipe("hello")
    pipe.attach(Shift())
    on = pipe("hello")
    pipe.set_attachments({"shift": 0.3})
    partly = pipe("hello")
    assert torch.equal(pipe("hello", adapters={}), plain)
    assert torch.equal(pipe("hello", adapters={"shift": 1.0}), on)
    assert torch.equal(pipe("hello"), partly)
    with pytest.raises(ArgumentError, match=r"no attachment 'shaft'.*Did you mean 'shift'"):
        pipe("hello", adapters={"shaft": 1.0})
    with pytest.raises(ArgumentTypeError, match=r"adapters= takes a dict.*not list"):
        pipe("hello", adapters=["shift"])
    with pytest.raises(ArgumentTypeError, match="strength of 'shift' is a str"):
        pipe("hello", adapters={"shift": "much"})
    with pytest.raises(ArgumentError, match="finite"):
        pipe("hello", adapters={"shift": float("nan")})


def test_arguments_of_add_ons_are_taken_while_they_are_attached(pipe: TextPipeline) -> None:
    with pytest.raises(ArgumentTypeError, match="belongs to the add-on 'louder'; attach that"):
        pipe("hello", louder_scale=2.0)
    pipe.attach("louder")
    assert not torch.equal(pipe("hello", louder_scale=2.0), pipe("hello"))
    with pytest.raises(ArgumentTypeError, match="Did you mean 'louder_scale'"):
        pipe("hello", louder_scle=2.0)


def test_arguments_of_add_ons_reach_both_of_two_equal_ones(pipe: TextPipeline) -> None:
    pipe.attach("louder")
    once, plain = pipe("hello", louder_scale=2.0), pipe("hello")
    pipe.attach("louder", name="again", strength=0.0)
    assert torch.equal(pipe("hello", louder_scale=2.0), once)
    assert not torch.equal(once, plain)


def test_views_share_weights_and_have_switches_of_their_own(pipe: TextPipeline) -> None:
    plain = pipe("hello")
    pipe.attach(Shift())
    other = OtherPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    assert torch.equal(other("hello"), pipe("hello"))
    other.set_attachments({})
    assert torch.equal(other("hello"), plain)
    assert not torch.equal(pipe("hello"), plain)
    assert other.components["net"] is pipe.components["net"]
    other.set_attachments({"shift": 1.0})
    pipe.detach("shift")
    assert torch.equal(other("hello"), plain)
    assert other.net is pipe.net


def test_the_attribute_is_the_view_and_the_component_is_the_network(pipe: TextPipeline) -> None:
    net = pipe.net
    pipe.attach(Shift())
    assert pipe.net is not net
    x = torch.ones(1, 3)
    assert not torch.equal(pipe.net(x), net(x))
    assert pipe.components["net"] is net
    replaced = Net().eval()
    pipe.net = replaced
    assert pipe.components["net"] is replaced
    acting = pipe("hello")
    pipe.set_attachments({})
    assert pipe.net is replaced
    assert not torch.equal(acting, pipe("hello"))


def test_saving_takes_the_network_itself(pipe: TextPipeline, tmp_path: Path) -> None:
    plain = pipe("hello")
    pipe.attach(Shift())
    pipe.save_pretrained(tmp_path / "saved")
    loaded = TextPipeline.from_pretrained(tmp_path / "saved")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(loaded("hello"), plain)


def test_eight_threads_with_eight_strengths_are_bitwise_serial(pipe: TextPipeline) -> None:
    for make in ALL.values():
        pipe.attach(make())
    calls = [{"shift": i / 8, "louder": 1 - i / 8, "shout": i % 2} for i in range(8)]
    serial = [pipe("hello", adapters=one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            found = list(threads.map(lambda one: pipe("hello", adapters=one), calls))
            assert all(map(torch.equal, found, serial))


def test_methods_share_the_state_of_one_call(pipe: TextPipeline) -> None:
    net = pipe.net
    counting = pipe.attach(Counting())
    first = pipe("hello")
    assert torch.equal(pipe("hello"), first)
    with ThreadPoolExecutor(4) as threads:
        assert all(torch.equal(one, first) for one in threads.map(pipe, ["hello"] * 8))
    assert counting.counted is None
    assert pipe.net is net, "nothing is counted outside calls"


def test_an_add_on_refuses_the_arguments_of_a_call_only_while_it_is_on(pipe: TextPipeline) -> None:
    pipe.attach(Counting())
    with pytest.raises(ArgumentError, match="least is negative"):
        pipe("hello", least=-1)
    pipe("hello", least=-1, adapters={})


def test_switching_while_others_draw_changes_nothing_for_them(pipe: TextPipeline) -> None:
    pipe.attach(Shift())
    expected = pipe("hello", adapters={"shift": 1.0})
    stop = threading.Event()

    def draw(_: int) -> bool:
        return all(torch.equal(pipe("hello", adapters={"shift": 1.0}), expected) for _ in range(40))

    def switch() -> None:
        while not stop.is_set():
            pipe.set_attachments({})
            pipe.set_attachments({"shift": 0.5})

    with ThreadPoolExecutor(5) as threads:
        switching = threads.submit(switch)
        drawn = list(threads.map(draw, range(4)))
        stop.set()
        switching.result()
    assert all(drawn)


@pytest.mark.parametrize("offloaded", [False, True])
def test_a_copy_in_float32_of_a_view_acts_and_is_placed_alike(
    pipe: TextPipeline, offloaded: bool
) -> None:
    pipe.attach(Shift())
    x = torch.ones(1, 3)
    with torch.no_grad():
        expected = pipe.net(x)
        if offloaded:
            pipe.enable_sequential_cpu_offload(device="cpu")
        with float32_copy(pipe.net) as made:
            assert torch.equal(made(x), expected)
            assert next(made.parameters()).is_meta is offloaded


@pytest.mark.parametrize("how", ["model", "sequential", "map"])
def test_it_acts_under_every_placement(pipe: TextPipeline, how: str) -> None:
    plain = pipe("hello")
    pipe.attach(Shift())
    acting = pipe("hello")
    place = {
        "model": lambda: pipe.enable_model_cpu_offload(device="cpu"),
        "sequential": lambda: pipe.enable_sequential_cpu_offload(device="cpu"),
        "map": lambda: pipe.set_device_map({"": "cpu"}),
    }
    place[how]()
    assert torch.equal(pipe("hello"), acting)
    pipe.set_attachments({})
    assert torch.equal(pipe("hello"), plain)


def test_weights_of_attachments_follow_casts(pipe: TextPipeline) -> None:
    shift = pipe.attach(Shift())
    pipe.to(torch.float64)
    assert shift.weights is not None
    assert next(shift.weights.parameters()).dtype is torch.float64
    with pytest.raises(RuntimeError, match="dtype"):  # the sample of this tiny pipeline is float32
        pipe("hello")


def test_what_can_not_be_attached(pipe: TextPipeline) -> None:
    with pytest.raises(MissingPluginError, match=r"no add-on 'shft'.*Did you mean 'shift'"):
        pipe.attach("shft")
    with pytest.raises(ArgumentTypeError, match="not int"):
        pipe.attach(5)  # type: ignore[arg-type]
    assert pipe.attach("shift", "file.bin", name="ink").source == "file.bin"  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="attachment 'ink' already exists"):
        pipe.attach(Shift(), name="ink")
    with pytest.raises(ArgumentError, match="no attachment 'shift'; attached: ink"):
        pipe.detach("shift")
    pipe.close()
    assert pipe._pool.attachments == {}


def test_a_detached_attachment_is_free(pipe: TextPipeline) -> None:
    attached = weakref.ref(pipe.attach(Shift()))
    pipe("hello")
    pipe.detach("shift")
    gc.collect()
    assert attached() is None


def test_what_fails_leaves_nothing_attached(pipe: TextPipeline) -> None:
    class Lost(Attachment):
        def answers(self, component: str, network: nn.Module, strength: float) -> Any:
            return {"nowhere": lambda module, x: x}

    plain = pipe("hello")
    with pytest.raises(PluginError, match="nowhere"):
        pipe.attach(Lost())
    assert dict(pipe.attachments) == {}
    assert torch.equal(pipe("hello"), plain)
    pipe.close()
    with pytest.raises(ClosedPipelineError):
        pipe.attach(Shift())
    assert pipe._pool.attachments == {}


class Reading(Attachment):
    """On pictures: brings the encoder for them."""

    name = "reading"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def brings(self, pipe: Any, lacking: Sequence[str]) -> dict[str, Any]:
        self.asked.append(list(lacking))
        return {name: Net() for name in lacking}

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Any]:
        return {"nowhere" if strength == 3 else "inner": lambda module, x: module(x)}


class PicturePipeline(TextPipeline):
    """A pipeline that may have an encoder of pictures."""

    _optional_components: ClassVar[tuple[str, ...]] = ("reader",)

    def __init__(self, net: Any, scheduler: Any, reader: Any = None) -> None:
        super().__init__(net, scheduler)
        self.register_modules(reader=reader)


def test_an_add_on_brings_components_that_a_pipeline_lacks(pipe: TextPipeline) -> None:
    given: Any = PicturePipeline(Net(), HalvingScheduler())
    made = given.attach(Reading())
    assert made.asked == [["reader"]]
    other = PicturePipeline.from_pipe(given)
    reader = given.components["reader"]
    assert isinstance(reader, Net)
    assert other.components["reader"] is reader
    copied = copy.deepcopy(given)
    for one in (copied, given):
        one.detach("reading")
    assert given.reader is other.reader is copied.reader is None
    assert pipe.attach(Reading()).asked == []


def test_components_that_a_pipeline_has_stay(pipe: TextPipeline) -> None:
    reader = Net()
    given: Any = PicturePipeline(Net(), HalvingScheduler(), reader)
    assert given.attach(Reading()).asked == []
    given.detach("reading")
    assert given.components["reader"] is reader


def test_components_go_again_if_attaching_fails(pipe: TextPipeline) -> None:
    given: Any = PicturePipeline(Net(), HalvingScheduler())
    with pytest.raises(PluginError, match="nowhere"):
        given.attach(Reading(), strength=3)
    assert given.reader is None
    given.attach(Reading())
    with pytest.raises(PluginError, match="nowhere"):
        given.set_attachments({"reading": 3})
    assert dict(given.attachments) == {"reading": 1.0}
    reader, again = given.components["reader"], Reading()
    with pytest.raises(ArgumentError, match="already exists"):
        given.attach(again)
    assert again.asked == []
    assert given.components["reader"] is reader


def test_attachments_of_a_class(pipe: TextPipeline) -> None:
    shift, louder = pipe.attach(Shift()), pipe.attach(Louder())
    pipe.set_attachments({})
    assert pipe.attached(Shift) == {"shift": shift}
    assert pipe.attached(Attachment) == {"shift": shift, "louder": louder}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda pipe: pipe.attach(Shift(), name=3),
        lambda pipe: pipe.attach(Shift(), "file.bin"),
        lambda pipe: pipe.attach(Shift(), strengh=0.5),
        lambda pipe: pipe.attach(Shift(), strength=True),
        lambda pipe: pipe.set_attachments(["shift"]),
        lambda pipe: pipe.set_attachments(None),
        lambda pipe: pipe.detach(("shift",)),
        lambda pipe: pipe("hello", adapters={3: 1.0}),
        lambda pipe: pipe.use_engine(Doubling(), refusing="x"),
        lambda pipe: pipe.use_engine({3: "doubling"}),
    ],
)
def test_values_that_can_not_be_used_are_typed_errors(pipe: TextPipeline, wrong: Any) -> None:
    with pytest.raises(ArgumentError):
        wrong(pipe)
    assert dict(pipe.attachments) == {}


def test_weights_have_the_dtype_of_the_pipeline_from_the_start(pipe: TextPipeline) -> None:
    pipe.to(torch.float64)
    shift = pipe.attach(Shift())
    assert shift.weights is not None
    assert next(shift.weights.parameters()).dtype is torch.float64


def test_weights_are_where_the_pipeline_computes_from_the_start(
    pipe: TextPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(pipe), "_execution_device", torch.device("meta"))
    shift = pipe.attach(Shift())
    assert shift.weights is not None
    assert next(shift.weights.parameters()).is_meta


def test_a_call_keeps_what_was_attached_when_it_began(pipe: TextPipeline) -> None:
    for make in ALL.values():
        pipe.attach(make())
    acting = pipe("hello")
    others = [name for name in ALL if name != "louder"]

    def detach(run: Any, step: int, t: Any, tensors: Any) -> None:
        if step == 0:
            for name in others:
                pipe.detach(name)

    assert torch.equal(pipe("hello", detach), acting)
    assert not torch.equal(pipe("hello"), acting)
    assert dict(pipe.attachments) == {"louder": 1.0}


def test_attaching_in_threads_loses_nothing(pipe: TextPipeline) -> None:
    def attach(number: int) -> None:
        pipe.attach(Shift(by=0.0), name=f"shift {number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(attach, range(32)))
    assert dict(pipe.attachments) == {f"shift {number}": 1.0 for number in range(32)}


# Engines


def test_another_engine_in_the_middle_of_a_call_lets_the_network_run_by_itself(
    pipe: TextPipeline,
) -> None:
    one, two = Doubling(), Doubling()
    pipe.use_engine(one)

    def switch(run: Any, step: int, t: Any, tensors: Any) -> None:
        if step == 0:
            pipe.use_engine(two)

    pipe("hello", switch)
    assert Doubling.prepared == ["forward"]
    assert Doubling.released == [pipe.net]
    pipe("hello")
    assert Doubling.prepared == ["forward"] * 2
    assert pipe._pool.engines == {pipe.net: two}


def test_a_network_that_is_gone_is_given_back(pipe: TextPipeline) -> None:
    pipe.use_engine("doubling")
    pipe("hello")
    gone = weakref.ref(pipe.net)
    pipe.net = Net().eval()
    pipe("hello")
    Doubling.released.clear()
    gc.collect()
    assert gone() is None
    assert dict(pipe.engines) == {}


def test_an_engine_runs_the_network_and_is_undone_cleanly(pipe: TextPipeline) -> None:
    plain, net = pipe("hello"), pipe.net
    state = dict(net.__dict__)
    assert pipe.use_engine("doubling") is pipe
    doubled = pipe("hello")
    assert not torch.equal(doubled, plain)
    assert torch.equal(pipe("hello"), doubled)
    assert Doubling.prepared == ["forward"]
    assert dict(pipe.engines) == {"net": "doubling"}
    other = OtherPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    assert torch.equal(other("hello"), doubled)
    assert Doubling.prepared == ["forward"]
    assert pipe.net is net
    pipe.use_engine(None)
    assert torch.equal(pipe("hello"), plain)
    assert Doubling.released == [net]
    assert dict(net.__dict__) == state
    assert dict(pipe.engines) == {}


@pytest.mark.parametrize("reason", ["training", "hooks", "attachment", "own"])
def test_it_says_once_why_it_can_not_serve(
    pipe: TextPipeline, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = pipe("hello")
    pipe.use_engine({"net": Doubling("it is Monday" if reason == "own" else None)})
    if reason == "training":
        pipe.net.train()
    if reason == "hooks":
        pipe.enable_sequential_cpu_offload(device="cpu")
    if reason == "attachment":
        pipe.attach(Shift(), strength=0.0)
        pipe.set_attachments({"shift": 1.0})
    expected = {
        "training": "training",
        "hooks": "offloaded",
        "attachment": "attach",
        "own": "Monday",
    }
    with caplog.at_level(logging.WARNING):
        drawn = [pipe("hello"), pipe("hello")]
    assert torch.equal(*drawn)
    if reason != "attachment":
        assert torch.equal(drawn[0], plain)
    (record,) = [r for r in caplog.records if "doubling doesn't run net" in r.getMessage()]
    assert expected[reason] in record.getMessage()
    assert Doubling.prepared == []


def test_engines_are_named_and_for_networks(pipe: TextPipeline) -> None:
    with pytest.raises(MissingPluginError, match=r"no engine 'dubling'.*Did you mean 'doubling'"):
        pipe.use_engine("dubling")
    with pytest.raises(ArgumentError, match=r"'nte'.*Did you mean 'net'"):
        pipe.use_engine({"nte": "doubling"})
    with pytest.raises(ArgumentTypeError, match="not int"):
        pipe.use_engine(5)  # type: ignore[arg-type]
    assert dict(pipe.use_engine({"net": None}).engines) == {}


def test_engines_can_be_chosen_while_loading(pipe: TextPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    loaded = TextPipeline.from_pretrained(tmp_path, engine="doubling")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(loaded("hello"), pipe.use_engine("doubling")("hello"))
    by_name = TextPipeline.from_pretrained(tmp_path, engine={"net": Doubling()})
    assert dict(by_name.engines) == {"net": "doubling"}
    eager = TextPipeline.from_pretrained(tmp_path, engine="eager")
    assert dict(eager.engines) == {}
    # Mistakes are found before weights are read.
    (tmp_path / "net" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(MissingPluginError, match="Did you mean 'doubling'"):
        TextPipeline.from_pretrained(tmp_path, engine={"net": "dubling"})
    with pytest.raises(ArgumentTypeError, match=r"engine .*'nte'.*Did you mean 'net'"):
        TextPipeline.from_pretrained(tmp_path, engine={"nte": "doubling"})
    with pytest.raises(ArgumentError, match="engine='doubling' is for pipelines"):
        Net.from_pretrained(tmp_path, subfolder="net", engine="doubling")


@each_error
@pytest.mark.parametrize("where", ["__init__", "refuses", "prepare"])
def test_whatever_an_engine_raises_tells_how_to_go_on(
    pipe: TextPipeline, where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise error

    plain = pipe("hello")
    monkeypatch.setattr(Doubling, where, fails)
    with pytest.raises(PluginError, match="doubling.*" + type(error).__name__):
        pipe.use_engine("doubling")("hello")
    assert torch.equal(pipe.use_engine(None)("hello"), plain)


@each_error
def test_whatever_an_addon_raises_when_it_is_made_names_it(
    pipe: TextPipeline, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(Shift, "__init__", fails)
    with pytest.raises(PluginError, match="addon 'shift'.*" + type(error).__name__):
        pipe.attach("shift")
    assert dict(pipe.attachments) == {}


class Tokens:
    """A tokenizer of one's own."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def __call__(self, text: str) -> list[int]:
        return [self.words.index(word) for word in text.split()]

    def save_pretrained(self, folder: Path) -> None:
        (Path(folder) / "words.txt").write_text(" ".join(self.words))


class WordPipeline(DiffusionPipeline):
    def __init__(self, tokenizer: Any, net: Any) -> None:
        self.register_modules(tokenizer=tokenizer, net=net)

    @pipeline_call
    def __call__(self, prompt: str = "") -> list[int]:
        return self.tokenizer(prompt)


class MoreWords(Attachment):
    """Adds words to the tokenizer; its strength is the tuple of them."""

    name = "words"

    def check_strength(self, value: Any) -> Any:
        if not isinstance(value, tuple):
            raise ArgumentTypeError("give a tuple of words")
        return value

    def replaces(self, component: str, value: Any, strength: Any) -> Any:
        return Tokens((*value.words, *strength)) if component == "tokenizer" else value


def test_a_component_that_is_not_a_network_is_replaced_in_one_pipeline() -> None:
    base = Tokens(("a", "b"))
    pipe = WordPipeline(base, Net())
    other = WordPipeline.from_pipe(pipe)
    pipe.attach(MoreWords(), strength=("c",))
    assert pipe.tokenizer.words == ("a", "b", "c")
    assert pipe.components["tokenizer"] is base
    assert other.tokenizer is base
    assert pipe("c a") == [2, 0]
    with pytest.raises(ValueError, match="not in tuple"):
        other("c")
    # A call chooses for itself, and from_pipe inherits.
    assert pipe("d", adapters={"words": ("d",)}) == [2]
    assert pipe("c") == [2]
    assert WordPipeline.from_pipe(pipe)("c") == [2]
    pipe.set_attachments({"words": ()})
    assert pipe.tokenizer is base
    assert pipe.attachments == {"words": ()}
    pipe.set_attachments({"words": ("e",)})
    pipe.detach("words")
    assert pipe.tokenizer is base


def test_threads_have_their_own_replacements() -> None:
    pipe = WordPipeline(Tokens(("a",)), Net())
    pipe.attach(MoreWords(), strength=())
    words = [f"w{i}" for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda w: pipe(w, adapters={"words": (w, "z")}), words * 5))
    assert found == [[1]] * 40


def test_copies_take_the_original_and_replace_it_again() -> None:
    import copy

    pipe = WordPipeline(Tokens(("a",)), Net())
    pipe.attach(MoreWords(), strength=("b",))
    for made in (copy.copy(pipe), copy.deepcopy(pipe)):
        assert made("b") == [1]
        assert made.components["tokenizer"].words == ("a",)
    pipe.tokenizer = Tokens(("x",))
    assert pipe.components["tokenizer"].words == ("x",)
    pipe.set_attachments({"words": ("y",)})
    assert pipe("y") == [1]


def test_a_strength_of_another_form_is_checked_by_the_add_on() -> None:
    pipe = WordPipeline(Tokens(("a",)), Net())
    with pytest.raises(ArgumentTypeError, match="a tuple of words"):
        pipe.attach(MoreWords())
    assert pipe.attachments == {}
    pipe.attach(MoreWords(), strength=("b",))
    with pytest.raises(ArgumentTypeError, match="a tuple of words"):
        pipe("a", adapters={"words": 1.0})


class Resounding(Attachment):
    inputs = (Input("volume", "number", required=False),)

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        return {"inner": lambda layer, x: layer(x) * (1 + strength)}


class LoudPipeline(TextPipeline):
    """A pipeline whose class has an add-on."""

    own_attachments: ClassVar[Any] = {"loud": lambda pipe: Resounding()}


class TestAddOnsOfAClass:
    @pytest.fixture
    def plain(self) -> TextPipeline:
        torch.manual_seed(0)
        return TextPipeline(Net(), HalvingScheduler())

    def test_they_act_in_every_pipeline_of_the_class(self, plain: TextPipeline) -> None:
        loud = LoudPipeline.from_pipe(plain)
        assert dict(loud.attachments) == {"loud": 1.0}
        assert not torch.equal(loud("a"), plain("a"))
        assert torch.equal(loud("a", adapters={}), plain("a"))
        loud("a", volume=3)
        with pytest.raises(ArgumentTypeError, match="volume"):
            plain("a", volume=3)

    def test_they_can_be_switched_off_but_not_detached(self, plain: TextPipeline) -> None:
        loud = LoudPipeline.from_pipe(plain)
        with pytest.raises(ArgumentError, match="belongs to LoudPipeline"):
            loud.detach("loud")
        loud.set_attachments({"loud": 0.5})
        quieter = LoudPipeline.from_pipe(loud)
        assert dict(quieter.attachments) == {"loud": 0.5}
        assert torch.equal(quieter("a"), loud("a"))
        loud.set_attachments({})
        assert torch.equal(loud("a"), plain("a"))

    def test_they_do_not_follow_the_weights_to_another_class(self, plain: TextPipeline) -> None:
        loud = LoudPipeline.from_pipe(plain)
        loud.attach(Resounding(), name="more")
        again = TextPipeline.from_pipe(loud)
        assert dict(again.attachments) == {"more": 1.0}
        assert dict(loud.attachments) == {"more": 1.0, "loud": 1.0}


class Refusing(Attachment):
    name = "refusing"

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        if strength > 1:
            raise ArgumentError("too strong")
        return {"inner.0": lambda layer, x: layer(x) + 1}


def test_a_refused_change_of_attachments_changes_nothing(pipe: TextPipeline) -> None:
    pipe.attach(Refusing(), strength=0.5)
    shown = pipe("abc")
    with pytest.raises(ArgumentError, match="too strong"):
        pipe.set_attachments({"refusing": 2})
    assert dict(pipe.attachments) == {"refusing": 0.5}
    assert torch.equal(pipe("abc"), shown)


def test_a_pipeline_detaches_what_others_keep(pipe: TextPipeline) -> None:
    pipe.attach(Refusing())
    pipe.attach(Refusing(), name="other", strength=0)
    view = OtherPipeline.from_pipe(pipe)
    view.detach("refusing", everywhere=False)
    assert dict(view.attachments) == {"refusing": 0, "other": 0}
    assert dict(pipe.attachments) == {"refusing": 1, "other": 0}
    assert list(pipe.attached(Refusing)) == ["refusing", "other"]
    pipe.detach("refusing", everywhere=False)
    assert dict(view.attachments) == {"other": 0}
